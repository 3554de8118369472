"""The commands under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from gavel._version import __version__
from gavel.cli import (
    adapt,
    calibrate,
    data,
    export,
    generate,
    inspect,
    judge,
    pull,
    rank,
    run_study,
    solve,
    study,
    teams,
    train,
)

app = typer.Typer(
    name="gavel",
    help="A team of small language models that writes N programs for a task and picks the best.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"gavel {__version__}")
        raise typer.Exit


@app.callback()
def _gavel(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def _epilog(examples: str) -> str:
    """Examples as help shows them: each a paragraph, since Typer joins the lines of one."""
    lines = (line.replace("[", r"\[") for line in examples.strip().splitlines())
    return "Examples:\n\n" + "\n\n".join(lines)


for name, function, examples in (
    ("pull", pull.pull, pull.EXAMPLES),
    ("export", export.export, export.EXAMPLES),
    ("adapt", adapt.adapt, adapt.EXAMPLES),
    ("inspect", inspect.inspect, inspect.EXAMPLES),
    ("generate", generate.generate, generate.EXAMPLES),
    ("judge", judge.judge, judge.EXAMPLES),
    ("rank", rank.rank, rank.EXAMPLES),
    ("solve", solve.solve, solve.EXAMPLES),
    ("label", study.label, study.LABEL_EXAMPLES),
    ("train", train.train, train.EXAMPLES),
    ("fit-probe", study.fit_probe, study.FIT_PROBE_EXAMPLES),
    ("calibrate", calibrate.calibrate, calibrate.EXAMPLES),
    ("report", study.report, study.REPORT_EXAMPLES),
    ("study", run_study.study, run_study.EXAMPLES),
):
    app.command(name, epilog=_epilog(examples))(function)

data.app.command("convert", epilog=_epilog(data.CONVERT_EXAMPLES))(data.convert)
data.app.command("split", epilog=_epilog(data.SPLIT_EXAMPLES))(data.split)
app.add_typer(data.app)
teams.app.command("fit", epilog=_epilog(teams.FIT_EXAMPLES))(teams.fit)
teams.app.command("show", epilog=_epilog(teams.SHOW_EXAMPLES))(teams.show)
app.add_typer(teams.app)
