"""gavel train"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gavel.cli import show
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.progress import steps
from gavel.cli.wording import text_of

if TYPE_CHECKING:
    from gavel.toolkit.training import TrainOptions

EXAMPLES = """
gavel train checkpoint/ labelled.jsonl -o judge/ --validation validation.jsonl
gavel train model.gavel labelled.jsonl -o judge/ --dry-run
gavel train checkpoint/ labelled.jsonl -o judge/ --objective rankef --epochs 2 --device cuda
gavel train checkpoint/ labelled.jsonl -o better/ --start-from judge/ --objective pairwise
gavel adapt model.gavel judge/
"""
METHOD, STEPS = "What it learns", "Steps"


class Objective(StrEnum):
    verbalizer = "verbalizer"
    classifier = "classifier"
    rankef = "rankef"
    pairwise = "pairwise"
    listwise = "listwise"


class Sharing(StrEnum):
    hard = "hard"
    intermediate = "intermediate"


class Computes(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


def _method(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=METHOD, **more)


def _steps(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=STEPS, **more)


@dataclass
class Training:
    """Fields as `TrainOptions` has them."""

    objective: Annotated[
        Objective,
        _method(
            help="The words Yes and No, two labels, RankEF's labels and feedback, or the words and a ranking loss."
        ),
    ] = Objective.verbalizer
    sharing: Annotated[Sharing, _method(help="RankEF: labels and feedback at once, or feedback first.")] = Sharing.hard
    full: Annotated[bool, _method("--full", help="Train all weights instead of a LoRA adapter.")] = False
    rank: Annotated[int, _method(min=1, help="Of the adapter.")] = 16
    alpha: Annotated[float, _method(min=0, help="Scale of the adapter: alpha / rank.")] = 32.0
    first_layer: Annotated[int, _method(min=0, help="Layers below stay as they are; fewer layers train faster.")] = 0
    balance: Annotated[
        bool, _method("--balance/--no-balance", help="Let right and wrong candidates weigh the same in all.")
    ] = True
    judge_prompt: Annotated[
        str | None, _method(metavar="TEXT|FILE", help="How it is asked, with {prompt}, {language} and {code}.")
    ] = None
    plain: Annotated[bool, _method("--plain", help="Ask without a chat template.")] = False
    learning_rate: Annotated[
        float | None, _steps(min=0, help="Default: 2e-4 for an adapter, 1e-5 for all weights.")
    ] = None
    epochs: Annotated[int, _steps(min=1, help="Times each task is seen.")] = 1
    max_steps: Annotated[int | None, _steps(min=1, help="End after so many.")] = None
    tasks_per_step: Annotated[int, _steps(min=1, help="Tasks, with their candidates, in one step.")] = 4
    candidates: Annotated[int | None, _steps(min=1, help="Of a task and epoch, at most. Default: all.")] = None
    max_tokens: Annotated[int, _steps(min=64, help="Read at once; more of a task are read in several goes.")] = 2048
    evaluations: Annotated[int, _steps(min=1, help="Of the validation rows, in the whole.")] = 5
    patience: Annotated[
        int, _steps(min=1, help="Evaluations without a better AUROC (of a ranking loss: within tasks) that end it.")
    ] = 3
    validation_tasks: Annotated[int, _steps(min=0, help="Drawn from the validation rows; 0: all.")] = 64
    precision: Annotated[Computes, _steps(help="It computes in; auto: bf16 where the device is fast at it.")] = (
        Computes.auto
    )
    seed: Annotated[int, _steps(min=0, help="Of everything drawn.")] = 0
    device: Annotated[str, _steps(help="cpu, cuda or cuda:N.")] = "cpu"

    def options(self) -> TrainOptions:
        from gavel.toolkit.training import TrainOptions

        given = {name: value.value if isinstance(value, StrEnum) else value for name, value in vars(self).items()}
        given |= {"judge_prompt": text_of(self.judge_prompt), "validation_tasks": self.validation_tasks or None}
        return TrainOptions(**given)


@command
@grouped
def train(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="A Hugging Face folder, a .gguf file, a Hub id (org/name), or a bundle."),
    ],
    rows: Annotated[Path, typer.Argument(metavar="LABELLED.jsonl", help="Rows as gavel label writes them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the judge goes.")],
    training: Training,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="LABELLED.jsonl", help="Rows of other problems: the best weights on them are kept."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Begin with the adapter that a training left, to learn from more."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how long it would take, and how much memory.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where the folder holds a training.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Train a judge on labelled candidates, and leave a folder for gavel adapt or gavel export.

    The prompt that a task's candidates share is computed once for all of them. After a stop the same command goes on
    where it was.
    """
    from gavel.toolkit import training as toolkit

    options = training.options()
    if dry_run:
        estimate = toolkit.dry_run(base, rows, validation_jsonl=validation, start_from=start_from, options=options)
        said = vars(estimate)
        if as_json:
            print(json.dumps(said))
        else:
            show.facts(Console(), "gavel train --dry-run", _estimated(said))
        return
    with steps("train") as progress:
        made = toolkit.train(
            base,
            rows,
            output,
            validation_jsonl=validation,
            start_from=start_from,
            options=options,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        print(json.dumps(made.record | {"folder": str(made.folder)}))
        return
    show.facts(Console(), "gavel train", _trained(made.record) | {"folder": str(made.folder)})


def _estimated(said: dict[str, Any]) -> dict[str, str]:
    return {
        "steps": str(said["steps"]),
        "tokens": f"{said['tokens']}; {said['tokens_unpacked']} were every candidate read with its own prompt",
        "rate": f"{said['tokens_per_second']:.0f} tokens a second",
        "time": str(timedelta(seconds=round(said["seconds"]))),
        "memory": f"{said['memory_bytes'] / 2**30:.2f} GiB",
        "weights": f"{said['trained_parameters']:,} of {said['parameters']:,} are trained",
    }


def _trained(record: dict[str, Any]) -> dict[str, str]:
    data, done = record["data"], record["steps"]
    lines = {
        name: f"{each['candidates']} candidates of {each['tasks']} tasks, {each['correct']} correct"
        for name, each in data.items()
    }
    lines["steps"] = f"{done['done']} of {done['planned']}, the best after {done['best']}"
    lines["time"] = f"{timedelta(seconds=round(record['seconds']))}, {record['tokens_per_second']:.0f} tokens a second"
    if best := record["validation"]:
        auroc = "-" if best["auroc"] is None else f"{best['auroc']:.3f}"
        lines["AUROC"] = f"{auroc}, Brier score {best['brier']:.3f}"
        lines["pass@1"] = (
            f"{best['top_1']:.3f} best-judged, {best['random']:.3f} at random, {best['oracle']:.3f} at best"
        )
    return lines
