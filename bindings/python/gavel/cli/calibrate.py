"""gavel calibrate"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gavel.cli import show
from gavel.cli.errors import command
from gavel.cli.options import AsJson, Device, Rows
from gavel.cli.progress import steps

EXAMPLES = """
gavel calibrate model.gavel validation.jsonl --judge verbalizer
gavel calibrate model.gavel/adapters/lora validation.jsonl --method isotonic --plot reliability.png
gavel judge candidates.jsonl -o judged.jsonl -j model.gavel/adapters/lora --precision 0.95
"""


class Method(StrEnum):
    temperature = "temperature"
    platt = "platt"
    isotonic = "isotonic"


class Kind(StrEnum):
    verbalizer = "verbalizer"
    classifier = "classifier"
    probe = "probe"


@command
def calibrate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder NAME.gavel, or an adapter's in it.")],
    rows: Rows,
    judge: Annotated[
        Kind | None, typer.Option("--judge", "-j", help="Which of its judges. Default: its probe, else its other one.")
    ] = None,
    method: Annotated[
        Method,
        typer.Option("--method", help="One slope; slope and shift; or steps, for a thousand candidates or more."),
    ] = Method.platt,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation, over problems.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
    min_each: Annotated[int, typer.Option(min=1, help="Fewest candidates of either outcome to fit on.")] = 30,
    weights: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What gavel train left: its judge.json notes it as well.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT.png", help="A reliability diagram.")] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Calibrate a judge on labelled candidates, and store in its bundle what each threshold is worth.

    The rows are ones the judge was not trained on; where they have no verdict of it, it is asked now (gavel judge would
    keep those). Brier score and calibration error (ECE) are cross-validated, for the other methods too. Then a judge
    can be asked for a precision: gavel judge --precision.
    """
    from gavel.toolkit import calibrate as calibrating
    from gavel.toolkit import show_calibration

    with steps("calibrate") as progress:
        fit = calibrating.calibrate(
            bundle,
            rows,
            method=method.value,
            kind=judge.value if judge else None,
            folds=folds,
            seed=seed,
            min_each=min_each,
            device=device,
            weights=weights,
            progress=lambda done, total: progress(f"{done} of {total} tasks", done / total),
        )
    if plot:
        show_calibration.plot(fit, plot)
    if as_json:
        found = {"bundle": str(bundle), "judge": fit.judge, "calibration": fit.calibration}
        counts = {"left_out": fit.data.left_out, "asked": fit.data.asked}
        print(json.dumps(found | {"validation": fit.validation, "methods": fit.methods} | counts))
        return
    show.facts(Console(), "gavel calibrate", show_calibration.facts(fit) | {"bundle": f"{bundle} now has it"})
    for table in show_calibration.tables(fit):
        Console().print(table)
