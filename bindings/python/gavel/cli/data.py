"""gavel data: tasks and candidates of many formats as one record, and their split."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gavel.cli import show
from gavel.cli.errors import command
from gavel.cli.options import AsJson

CONVERT_EXAMPLES = """
gavel data convert HumanEval_java_v1.1.jsonl mbjp_release_v1.2.jsonl -o tasks.jsonl
gavel data convert tasks.jsonl samples.jsonl --generator my-model -o candidates.jsonl
gavel data convert labelled.jsonl --to samples -o samples.jsonl.gz
"""
SPLIT_EXAMPLES = """
gavel data split HumanEval_java_v1.1.jsonl mbjp_release_v1.2.jsonl -o split
gavel data split labelled.jsonl -o split --test HumanEval=40 --test MBPP=64 --validation 0.1
"""

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="HumanEval, mxeval, EvalPlus, MBPP, MultiPL-E, CoderEval, samples, or rows of gavel's own; .gz too.",
    ),
]
Generator = Annotated[str, typer.Option(help="Who wrote the candidates that do not say it.")]


class Format(StrEnum):
    gavel = "gavel"
    tasks = "tasks"
    samples = "samples"
    evalplus = "evalplus"
    multipl_e = "multipl-e"
    codereval = "codereval"


@command
def convert(
    files: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.jsonl", help="Where the rows go; .gz too.")],
    to: Annotated[
        Format, typer.Option(help="gavel's rows; HumanEval's tasks or samples; another tool's form.")
    ] = Format.gavel,
    generator: Generator = "",
    as_json: AsJson = False,
) -> None:
    """Read tasks and candidates of any known format, and write them as one.

    Files with the same task give it the candidates of all; samples join the tasks that they answer.
    """
    from gavel.toolkit import datasets, format_writers, formats

    records = formats.read_records(files, generator)
    written = list(format_writers.WRITERS[to.value](records))
    formats.write(output, written)
    lacking = [row["task_id"] for row in records if row["language"] in datasets.ASSEMBLERS and not row.get("test")]
    facts: dict[str, Any] = {
        "tasks": len(records),
        "problems": len({row["source"] for row in records}),
        "candidates": sum(len(row.get("candidates") or []) for row in records),
        "without test": len(lacking),
    }
    _say(Console(), "gavel data convert", facts | {"rows": str(output)}, facts | {"no_test": lacking}, as_json)


@command
def split(
    files: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="train, validation, test, report.")],
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUITE=N",
            help="Test problems, or a share below 1. Default: the paper's, HumanEval=40, MBPP=64; else 0.25.",
        ),
    ] = None,
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="Share of what is not for testing.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another split.")] = 0,
    generator: Generator = "",
    as_json: AsJson = False,
) -> None:
    """Split tasks into training, validation and test by the problem that they state.

    HumanEval/3 is one problem in every language and suite. Tasks that nearly repeat one of a later part are dropped,
    and report.json says which, of what, and why.
    """
    from gavel.toolkit import formats, splits

    made = splits.split(formats.read_records(files, generator), splits.PAPER | _counts(test or []), validation, seed)
    made.write(output)
    report = made.report()
    lines = {
        part: f"{report['tasks'][part]} tasks ("
        + ", ".join(f"{name} {count}" for name, count in report["tasks_by_dataset"][part].items())
        + f"), {report['candidates'][part]} candidates"
        for part in splits.SPLITS
    }
    lines["dropped"] = f"{len(made.dropped)} tasks, {len(made.near)} of them near duplicates"
    _say(Console(), "gavel data split", lines | {"folder": str(output)}, report, as_json)


def _counts(given: list[str]) -> dict[str, float]:
    counts = {}
    for each in given:
        suite, equals, number = each.rpartition("=")
        try:
            counts[suite] = float(number)
        except ValueError:
            equals = ""
        if not equals or not suite:
            raise typer.BadParameter(f"--test {each}; expected SUITE=N, such as HumanEval=40 or HumanEval=0.25")
    return counts


def _say(console: Console, title: str, lines: dict[str, Any], found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        show.facts(console, title, {name: str(value) for name, value in lines.items()})


app = typer.Typer(
    name="data", help="Tasks and candidates of many formats as one record, and their split.", no_args_is_help=True
)
