"""gavel team: teams whose weights were fitted, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gavel.cli import show as tables
from gavel.cli.errors import command
from gavel.cli.options import AsJson, Device, Judges, Rows
from gavel.cli.progress import steps
from gavel.cli.team import Models, place_of

FIT_EXAMPLES = """
gavel team fit labelled.jsonl -o mine.team.json -g model.gavel -j probe -j model.gavel/adapters/lora
gavel solve tasks.jsonl -o solved.jsonl --team mine.team.json
gavel rank candidates.jsonl -o ranked.jsonl --team mine.team.json
"""
SHOW_EXAMPLES = """
gavel team show mine.team.json
gavel team show mine.team.json --json
"""

TeamFile = Annotated[Path, typer.Argument(metavar="NAME.team.json", help="A file of gavel team fit.")]


@command
def fit(
    rows: Rows,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="NAME.team.json", help="Where the team goes.")],
    generator: Annotated[
        Path | None,
        typer.Option(
            "--generator", "-g", metavar="BUNDLE", help="Who wrote the candidates; without, the team only ranks."
        ),
    ] = None,
    judge: Judges = None,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation, over problems.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
    min_each: Annotated[int, typer.Option(min=1, help="Fewest candidates of either outcome to fit on.")] = 30,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Fit a team's weights on labelled candidates: of its judges' log-odds, and of the generator's log-probability.

    The rows are ones no judge was trained on; where they have no verdict of a judge, it is asked now (gavel judge would
    keep those). No weight is negative: a judge that would have such a one is left out. Figures are cross-validated. The
    file names the bundles by relative paths and their digests; calibrate and fit probes before.
    """
    from gavel.toolkit import show_team
    from gavel.toolkit.fit_team import fit_team
    from gavel.toolkit.judge_place import JudgePlace

    judges = [JudgePlace.of(*place_of(each, generator)) for each in judge or []]
    with steps("team fit") as progress:
        made = fit_team(
            rows,
            output,
            judges,
            Models(device).open,
            generator=generator,
            folds=folds,
            seed=seed,
            min_each=min_each,
            progress=lambda done, total: progress(f"{done} of {total} readings", done / total),
        )
    if as_json:
        print(json.dumps(made.team | {"file": str(output), "asked": made.asked, "left_out": made.data.left_out}))
        return
    console = Console()
    judged = len(judges) * len(made.data.passed)
    lines = {"judged": f"{made.asked} verdicts now, {judged - made.asked} before", "file": output}
    tables.facts(console, "gavel team fit", show_team.facts(made.team, output) | lines)
    console.print(show_team.table(made.team["fit"]["figures"]))


@command
def show(file: TeamFile, as_json: AsJson = False) -> None:
    """Say who is in a team, with what weight, and what it was worth on the candidates it was fitted on."""
    from gavel.toolkit import show_team, team_file

    team = team_file.read(file)
    if as_json:
        print(json.dumps(team))
        return
    console = Console()
    tables.facts(console, str(file), show_team.facts(team, file))
    if team.get("fit"):
        console.print(show_team.table(team["fit"]["figures"]))


app = typer.Typer(
    name="team", help="Teams with fitted weights, as files that solve and rank take.", no_args_is_help=True
)
