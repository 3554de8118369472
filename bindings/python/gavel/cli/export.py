"""gavel export"""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.progress import steps
from gavel.cli.wording import JUDGE, Wording, text_of

EXAMPLES = """
gavel export model.gguf -o model.gavel
gavel export checkpoint/ --precision bf16 --name mine
gavel export org/name --adapter lora/ --trained --positive Yes --negative No
gavel export rankef/ --truncate end
"""


class Precision(StrEnum):
    int8 = "int8"
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


class Truncation(StrEnum):
    task = "task"
    end = "end"
    refuse = "refuse"


@command
@grouped
def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A Hugging Face folder, a .gguf file, or a Hub id (org/name).")
    ],
    wording: Wording,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="NAME.gavel", help="The bundle. Default: NAME.gavel here.")
    ] = None,
    precision: Annotated[Precision, typer.Option("--precision", "-p", help="Of the weights.")] = Precision.int8,
    adapter: Annotated[Path | None, typer.Option("--adapter", help="A peft LoRA folder, merged in.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The bundle's name. Default: the source's.")] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="Of the weights, where the source names none.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    truncate: Annotated[
        Truncation | None,
        typer.Option(
            "--truncate",
            help="What an encoder leaves out where task and candidate are too long. Default: the task's end.",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    feedback_prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE",
            help="After what an encoder-decoder writes feedback, with {prompt}, {language} and {code}.",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Make a bundle of a checkpoint and print its path."""
    from gavel.toolkit.export import export as make

    judge = replace(
        wording.judge(),
        truncate=truncate.value if truncate else None,
        feedback_prompt=text_of(feedback_prompt),
    )
    with steps("export") as progress:
        made = make(
            source,
            output,
            precision=precision.value,
            adapter=adapter,
            name=name,
            license=license,
            judge=judge,
            force=force,
            progress=progress,
        )
    print(json.dumps({"bundle": str(made)}) if as_json else made)
