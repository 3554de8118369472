"""gavel export"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gavel.cli.errors import command
from gavel.cli.progress import steps

EXAMPLES = """
gavel export model.gguf -o model.gavel
gavel export checkpoint/ --precision bf16 --name mine
gavel export org/name --adapter lora/ --trained --positive Yes --negative No
gavel export rankef/ --truncate end
"""

JUDGE = "Judge"


class Precision(StrEnum):
    int8 = "int8"
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


class Truncation(StrEnum):
    task = "task"
    end = "end"
    refuse = "refuse"


Words = list[str] | None


@command
def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A Hugging Face folder, a .gguf file, or a Hub id (org/name).")
    ],
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
    judge_prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE", help="How it is asked, with {prompt}, {language} and {code}.", rich_help_panel=JUDGE
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Ask without a chat template.", rich_help_panel=JUDGE)] = False,
    positive: Annotated[
        Words, typer.Option(metavar="WORD", help="A word that means correct; several times.", rich_help_panel=JUDGE)
    ] = None,
    negative: Annotated[
        Words, typer.Option(metavar="WORD", help="A word that means wrong; several times.", rich_help_panel=JUDGE)
    ] = None,
    positive_label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="A classifier's label for correct.", rich_help_panel=JUDGE)
    ] = None,
    trained: Annotated[
        bool, typer.Option("--trained", help="The model was fine-tuned to judge.", rich_help_panel=JUDGE)
    ] = False,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Correct from this P(correct) on.", rich_help_panel=JUDGE)
    ] = 0.5,
    abstain_band: Annotated[
        float, typer.Option(min=0, max=1, help="Abstain this near to it.", rich_help_panel=JUDGE)
    ] = 0.0,
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
    from gavel.toolkit.export import JudgeWording
    from gavel.toolkit.export import export as make

    wording = JudgeWording(
        prompt=_text(judge_prompt),
        plain=plain,
        positive=positive or (),
        negative=negative or (),
        positive_label=positive_label,
        trained=trained,
        threshold=threshold,
        abstain_band=abstain_band,
        truncate=truncate.value if truncate else None,
        feedback_prompt=_text(feedback_prompt),
    )
    with steps("export") as progress:
        made = make(
            source,
            output,
            precision=precision.value,
            adapter=adapter,
            name=name,
            license=license,
            judge=wording,
            force=force,
            progress=progress,
        )
    print(json.dumps({"bundle": str(made)}) if as_json else made)


def _text(given: str | None) -> str | None:
    """The text, or that of the file it names."""
    if given is None or "\n" in given or len(given) > 1024 or not Path(given).is_file():
        return given
    return Path(given).read_text(encoding="utf-8")
