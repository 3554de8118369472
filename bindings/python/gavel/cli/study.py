"""gavel label, gavel fit-probe, gavel report: what candidates are worth, and a judge learnt from it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gavel.cli import show
from gavel.cli.errors import command, tell
from gavel.cli.options import AsJson, Device, Rows
from gavel.cli.progress import steps

if TYPE_CHECKING:
    from gavel.toolkit.label import LabelSummary, Pace

NAMED = 20  # tasks that a summary lists

LABEL_EXAMPLES = """
gavel label solved.jsonl -o labelled.jsonl
gavel label solved.jsonl -o labelled.jsonl --jobs 8 --timeout 5
gavel label solved.jsonl -o labelled.jsonl --ray auto
"""
FIT_PROBE_EXAMPLES = """
gavel fit-probe model.gavel labelled.jsonl
gavel fit-probe model.gavel train.jsonl --validation validation.jsonl --attention
gavel fit-probe model.gavel labelled.jsonl --layer 12 --layer 16 --no-attach -o probe.json
"""
REPORT_EXAMPLES = """
gavel report labelled.jsonl
gavel report labelled.jsonl -o report.json --plot report.png
"""


@command
def label(
    rows: Rows,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.jsonl", help="Where rows go.")],
    jobs: Annotated[int, typer.Option(min=1, help="Programs run side by side.")] = 2,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one program.")] = 10.0,
    memory: Annotated[int, typer.Option(min=32, help="Megabytes for one program.")] = 256,
    sandbox: Annotated[
        bool, typer.Option("--sandbox/--no-sandbox", help="Run programs in bubblewrap, without network.")
    ] = True,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run them on a Ray cluster, so many jobs on each node: auto (this machine's) or HOST:PORT. Each node "
            "must have Gavel, bubblewrap and the languages.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run every candidate against its task's tests and note which pass, and how the others fail.

    A task's canonical solution is run too, and tasks whose own solution fails are named; so a file of tasks alone is
    checked.
    Candidates are programs a model wrote: outside the sandbox they can do what you can. After a kill the same command
    goes on where it stopped.
    """
    from gavel.toolkit.label import label as run

    with steps("label") as progress:
        summary = run(
            rows,
            output,
            jobs=jobs,
            timeout=timeout,
            memory_mb=memory,
            sandbox=sandbox,
            progress=lambda pace: progress(_pace(pace), pace.tasks / pace.tasks_total),
            ray=ray,
            tell=tell,
        )
    if as_json:
        print(json.dumps(vars(summary) | {"labels_per_second": summary.labels_per_second, "output": str(output)}))
        return
    show.facts(Console(), "gavel label", _label_facts(summary) | {"rows": str(output)})


def _pace(pace: Pace) -> str:
    said = f"{pace.tasks} of {pace.tasks_total} tasks"
    if not pace.rate:
        return said
    return f"{said}, {pace.rate:.1f} labels a second, {timedelta(seconds=round(pace.remaining))} left"


def _label_facts(summary: LabelSummary) -> dict[str, str]:
    lines = {"tasks": f"{summary.tasks}, {summary.resumed} of them before"}
    if summary.nothing_to_run:
        lines["nothing to run"] = f"{summary.nothing_to_run} tasks have neither candidates nor a solution of their own"
    if summary.candidates:
        lines["candidates"] = _share(summary.passed, summary.candidates)
        lines |= {name: str(count) for name, count in summary.statuses.most_common() if name != "pass"}
    if summary.flipped:
        lines["flipped"] = f"{len(summary.flipped)} tasks, timed out once but not alone: {_named(summary.flipped)}"
    if summary.references:
        lines["references"] = _share(summary.references["pass"], summary.references.total())
        for task, said in list(summary.bad_references.items())[:NAMED]:
            feedback = said["feedback"]
            lines[f"  {task}"] = f"{said['status']}: {feedback['kind']} {feedback['message']}"
        if summary.candidates and summary.bad_references:
            lines["candidates, without those"] = _share(summary.sound_passed, summary.sound_candidates)
    if summary.executed:
        lines["time"] = f"{summary.seconds:.1f} s, {summary.labels_per_second:.1f} labels a second"
    return lines


def _share(passed: int, total: int) -> str:
    return f"{passed} of {total} pass" + (f", {passed / total:.1%}" if total else "")


def _named(tasks: list[str]) -> str:
    return ", ".join(tasks[:NAMED]) + (" …" if len(tasks) > NAMED else "")


@command
def fit_probe(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle whose hidden states it reads.")],
    rows: Rows,
    validation: Annotated[
        Path | None, typer.Option(metavar="ROWS.jsonl", help="Labelled rows of other problems, to try it on.")
    ] = None,
    layer: Annotated[
        list[int] | None, typer.Option(help="A layer to choose from. Default: nine of the last two thirds.")
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Also train a head that weighs tokens; it is taken where it wins.")
    ] = False,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation, over problems.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
    attach: Annotated[bool, typer.Option("--attach/--no-attach", help="Put it into the bundle.")] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PROBE.json", help="A file for a copy of the probe.")
    ] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Fit a probe on labelled candidates: a judge that costs no forward pass, since it reads states generation makes.

    Layers, pooling and regularisation are chosen by cross-validation over problems, and so are the figures it prints.
    It comes with early probes, for --stop-below of gavel generate. After a kill the same command goes on where it
    stopped.
    """
    from gavel.toolkit.bundle import probe_summary
    from gavel.toolkit.fit_probe import fit_probe as fit

    with steps("fit-probe") as progress:
        made = fit(
            bundle,
            rows,
            validation=validation,
            layers=layer,
            attention=attention,
            folds=folds,
            seed=seed,
            output=output,
            attach=attach,
            device=device,
            progress=lambda done, total: progress(f"{done} of {total}", done / total),
        )
    probe = probe_summary(made.probe)
    if as_json:
        print(json.dumps(probe | {"bundle": str(bundle), "attached": attach, "seconds": made.seconds}))
        return
    lines = _probe_facts(probe)
    lines["time"] = f"{made.seconds['states']} s for states, {made.seconds['fit']} s for fitting"
    lines["bundle"] = f"{bundle} now has it" if attach else f"{bundle} is as it was"
    show.facts(Console(), "gavel fit-probe", lines)


def _probe_facts(probe: dict[str, Any]) -> dict[str, Any]:
    parts = [f"layer {part['layer']}, {part['pooling']}" for part in probe["terms"]]
    lines = {"reads": "; ".join(parts), "fitted on": probe["fitted_on"]} | probe["figures"]
    if attention := probe.get("attention"):
        gain = f"{attention['gain_low']:+} to {attention['gain_high']:+}"
        lines["attention"] = f"AUROC {attention['auroc']}, over the linear probe {gain} (95 %)"
    lines["AUROC of beginnings"] = ", ".join(f"{one['share']:.0%} {one['auroc']}" for one in probe["beginnings"])
    for one in probe["early"]:
        figures = one["figures"]
        lines[f"after {one['tokens']} tokens"] = f"AUROC {figures['auroc']} of {figures['candidates']} that are longer"
    for one in probe["stopping"]:
        lines[f"stopped below {one['below']}"] = (
            f"{one['stopped']:.1%} of candidates, {one['correct_stopped']:.1%} of the correct, saves "
            f"{one['tokens_saved']:.1%} of tokens, pass@1 {one['pass_at_1_probe']}"
        )
    if unseen := probe.get("held_out"):
        figures = ", ".join(f"{name} {value}" for name, value in unseen.items() if name != "early")
        lines["on the validation rows"] = figures
    return lines


@command
def report(
    rows: Rows,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT.json", help="The figures.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT.png", help="The figures as a picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set the ways to pick a candidate side by side: at random, by each judge, by likelihood, by probe, and the best.

    Rows are labelled ones. The probe's figures come from what fit-probe left beside them: each task is scored by a
    probe that has not seen it.
    """
    from gavel.toolkit import report as figures
    from gavel.toolkit import show_report

    found = figures.report(rows)
    if output:
        figures.write(found, output)
    if plot:
        show_report.plot(found, plot)
    if as_json:
        print(json.dumps(found))
        return
    for table in show_report.tables(found):
        Console().print(table)
