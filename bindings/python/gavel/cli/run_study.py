"""gavel study"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gavel.cli import show
from gavel.cli.errors import command
from gavel.cli.options import AsJson
from gavel.cli.progress import steps

if TYPE_CHECKING:
    from gavel.toolkit.study.run import Result
    from gavel.toolkit.study.stages import Outcome, Stage
    from gavel.toolkit.study.study_file import StudyFile

EXAMPLES = """
gavel study --quick -o quick
gavel study study.toml -o study --dry-run
gavel study study.toml -o study --until label
"""


@command
def study(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Stages, report and figures.")],
    file: Annotated[Path | None, typer.Argument(metavar="STUDY.toml", help="What is studied.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The shipped study of the project's own tasks.")] = False,
    generator: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Who writes in the quick study. Default: the embedded model.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Who learns to judge there. Default: SmolLM2, or else that one."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE",
            help="End after split, generate, label, train, export, probe, calibrate, team, judge or analyse.",
        ),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Call the endpoints that the study names.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which stages are there and which are to do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study: from tasks over candidates, labels, trained and calibrated judges to figures and a report.

    What is made once is found again as long as what goes into it is the same; after a kill the same command goes on
    where it stopped. The report is FOLDER/report.html, beside it analysis.json, csv and figures.
    """
    if quick == (file is not None):
        raise typer.BadParameter("give either STUDY.toml or --quick")
    if not quick and (generator or judge):
        raise typer.BadParameter("--generator and --judge are for --quick; a study file names its own")
    from gavel.toolkit.study.plan import KINDS
    from gavel.toolkit.study.quick import quick as shipped
    from gavel.toolkit.study.run import run
    from gavel.toolkit.study.stages import Runner
    from gavel.toolkit.study.study_file import read

    named: StudyFile = read(file) if file is not None else shipped(generator, judge)
    with steps("study") as progress:
        lines = Lines(progress)
        runner = Runner(output) if dry_run else Runner(output, lines.begun, lines.ended, lines.tell)
        result = run(named, runner, remote=remote, until=until or KINDS[-1], dry=dry_run)
    if as_json:
        print(json.dumps(_plain(result), ensure_ascii=False))
    else:
        _print(result, dry_run)


class Lines:
    """A line on stderr for each stage, and a bar for the one at work."""

    def __init__(self, progress: Callable[[str, float], None]) -> None:
        self._progress, self._name = progress, ""

    def begun(self, stage: Stage, number: int, total: int) -> None:
        self._name = stage.name
        self.tell("", 0.0)

    def tell(self, step: str, share: float) -> None:
        self._progress(f"{self._name}  {step}", share)

    def ended(self, outcome: Outcome, number: int, total: int) -> None:
        print(f"[{number}/{total}] {outcome.stage.name}: {_state(outcome)}", file=sys.stderr, flush=True)
        for note in outcome.notes:
            print(f"  {note}", file=sys.stderr, flush=True)


def _state(outcome: Outcome) -> str:
    return {"made": f"{outcome.seconds:.1f} s", "cached": "cached", "to do": "to do"}[outcome.state]


def _plain(result: Result) -> dict[str, Any]:
    stages = [
        {
            "stage": name,
            "kind": each.stage.kind,
            "state": each.state,
            "folder": None if each.folder is None else str(each.folder),
            "seconds": each.seconds,
            "notes": list(each.notes),
        }
        for name, each in result.outcomes.items()
    ]
    report = None if result.report is None else str(result.report)
    return {"stages": stages, "left_out": result.plan.left_out, "report": report}


def _print(result: Result, dry: bool) -> None:
    lines = {name: _state(each) for name, each in result.outcomes.items()} if dry else {}
    if not dry:
        states = [each.state for each in result.outcomes.values()]
        lines["stages"] = f"{states.count('made')} made, {states.count('cached')} cached"
    lines |= {f"left out, {number}": said for number, said in enumerate(result.plan.left_out, 1)}
    if result.report is not None:
        lines["report"] = str(result.report)
    show.facts(Console(), "gavel study", lines)
