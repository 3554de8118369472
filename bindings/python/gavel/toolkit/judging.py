"""What an export is told of a bundle's judge, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .bundle import to_json
from .datasets import write_atomically
from .errors import ToolkitError
from .folder_tokenizer import read_json

JUDGE_FILE = "judge.json"  # beside trained weights: how the judge that they make is asked


@dataclass(frozen=True)
class JudgeWording:
    """How a bundle is asked for a verdict.

    ``prompt`` is a wording with {prompt}, {language} and {code}; it is put into the model's chat template unless
    ``plain``. ``positive`` and ``negative`` are verbalizers, each one token where the prompt ends; left out, those
    spellings of Yes and No are taken that are. ``positive_label`` names a classifier's label for a correct candidate.
    ``trained`` says that the model was fine-tuned to judge; whatever shows verdicts of another says it was not.
    ``calibration`` and ``validation`` are what a calibration of these weights found (see `calibrate`).

    Of encoders, which see a task and a candidate at once: ``truncate`` says what is left out where they are longer than
    the model reads: the end of the "task" (the default), the "end" of the whole, as training scripts often do, or
    nothing ("refuse"). ``feedback_prompt`` is the wording after which an encoder-decoder writes feedback.
    """

    prompt: str | None = None
    plain: bool = False
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()
    positive_label: str | None = None
    trained: bool = False
    threshold: float = 0.5
    abstain_band: float = 0.0
    truncate: str | None = None
    feedback_prompt: str | None = None
    calibration: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None


def wording_of(folder: Path, given: JudgeWording) -> JudgeWording:
    """What is given, over what the folder of trained weights says of itself where it does."""
    if not (folder / JUDGE_FILE).is_file():
        return given
    said = read_json(folder / JUDGE_FILE)
    known = {each.name: said[each.name] for each in fields(JudgeWording) if each.name in said}
    default = JudgeWording()
    asked = {
        each.name: getattr(given, each.name)
        for each in fields(JudgeWording)
        if getattr(given, each.name) != getattr(default, each.name)
    }
    return replace(JudgeWording(**known), **asked)


def note(folder: Path, said: dict[str, Any]) -> None:
    """Adds to what trained weights say of themselves."""
    if not (folder / JUDGE_FILE).is_file():
        raise ToolkitError(f"{folder} has no {JUDGE_FILE}; give the folder that gavel train left")
    write_atomically(folder / JUDGE_FILE, to_json(read_json(folder / JUDGE_FILE) | said))


def label_names(config: dict[str, Any], count: int) -> list[str]:
    """A classifier's labels as its config.json names them, by the numbers' texts or the numbers themselves."""
    names = config.get("id2label") or {}
    return [str(names.get(str(i), names.get(i, f"LABEL_{i}"))) for i in range(count)]


def classifier_head(labels: list[str], positive_label: str | None) -> dict[str, Any]:
    """The labels, and which of them means correct: the one named so, else the one called so, else the second of two or
    the only one."""
    called = [label.lower() for label in labels]
    if positive_label is not None:
        if positive_label not in labels:
            raise ToolkitError(f"label {positive_label!r} is not one of {', '.join(labels)}")
        positive = labels.index(positive_label)
    elif "correct" in called or len(labels) <= 2:
        positive = called.index("correct") if "correct" in called else len(labels) - 1
    else:
        raise ToolkitError(f"which label means correct? Name one of {', '.join(labels)} with --positive-label")
    return {"type": "classifier", "labels": labels, "positive": positive}


def judge_rule(judge: JudgeWording, *, trained: bool) -> dict[str, Any]:
    return {
        "trained": trained,
        "calibration": judge.calibration or {"scale": 1.0, "shift": 0.0},
        "threshold": judge.threshold,
        "abstain_band": judge.abstain_band,
    } | ({"validation": judge.validation} if judge.validation else {})
