"""How a bundle or an adapter is asked for a verdict: the options that export and adapt share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gavel.toolkit.export import JudgeWording

JUDGE = "Judge"
Words = list[str] | None


@dataclass
class Wording:
    """Fields as `JudgeWording` has them."""

    judge_prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE", help="How it is asked, with {prompt}, {language} and {code}.", rich_help_panel=JUDGE
        ),
    ] = None
    plain: Annotated[bool, typer.Option("--plain", help="Ask without a chat template.", rich_help_panel=JUDGE)] = False
    positive: Annotated[
        Words, typer.Option(metavar="WORD", help="A word that means correct; several times.", rich_help_panel=JUDGE)
    ] = None
    negative: Annotated[
        Words, typer.Option(metavar="WORD", help="A word that means wrong; several times.", rich_help_panel=JUDGE)
    ] = None
    positive_label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="A classifier's label for correct.", rich_help_panel=JUDGE)
    ] = None
    trained: Annotated[
        bool, typer.Option("--trained", help="The model was fine-tuned to judge.", rich_help_panel=JUDGE)
    ] = False
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Correct from this P(correct) on.", rich_help_panel=JUDGE)
    ] = 0.5
    abstain_band: Annotated[
        float, typer.Option(min=0, max=1, help="Abstain this near to it.", rich_help_panel=JUDGE)
    ] = 0.0

    def judge(self) -> JudgeWording:
        from gavel.toolkit.export import JudgeWording

        return JudgeWording(
            prompt=text_of(self.judge_prompt),
            plain=self.plain,
            positive=self.positive or (),
            negative=self.negative or (),
            positive_label=self.positive_label,
            trained=self.trained,
            threshold=self.threshold,
            abstain_band=self.abstain_band,
        )


def text_of(given: str | None) -> str | None:
    """The text, or that of the file it names."""
    if given is None or "\n" in given or len(given) > 1024 or not Path(given).is_file():
        return given
    return Path(given).read_text(encoding="utf-8")
