"""Labelled rows and a base, read and checked: everything a training needs but the weights."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.bundle import MANIFEST, sha256
from gavel.toolkit.bundle_source import BundleSource
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import prompts_of, stop_tokens
from gavel.toolkit.judging import JudgeWording
from gavel.toolkit.labelled import labels_digest
from gavel.toolkit.lora import WEIGHTS
from gavel.toolkit.prompts import NO, YES, Segments, spellings, verdict_tokens
from gavel.toolkit.sources import Source, open_source
from gavel.toolkit.text import Text
from gavel.toolkit.training.examples import Examples, Reading
from gavel.toolkit.training.feedback import LABELS
from gavel.toolkit.training.model import Verdicts
from gavel.toolkit.training.options import TrainOptions


@dataclass(frozen=True)
class Prepared:
    source: Source
    wording: dict[str, Any]  # as judge.json has it
    verdicts: Verdicts
    train: Examples
    validation: Examples | None
    data: dict[str, Any]  # what the rows are, for the record
    fingerprint: str  # the same for a training that goes on with this one
    start_from: Path | None = None  # an adapter whose weights are where the training begins


def prepare(
    base: str | os.PathLike[str],
    train_jsonl: str | os.PathLike[str],
    validation_jsonl: str | os.PathLike[str] | None,
    options: TrainOptions,
    start_from: str | os.PathLike[str] | None = None,
) -> Prepared:
    """Raises ToolkitError for rows without labels, of one outcome alone, and for problems on both sides."""
    begins = None if start_from is None else adapter_in(start_from, options)
    source = open_base(base)
    tokens = Text(source.tokenizer)
    asked = JudgeWording(prompt=options.judge_prompt, plain=options.plain)
    prompt = prompts_of(source, tokens, {"type": "classifier"}, asked)[0]["judge"]
    verdicts, wording = read_as(options, prompt, tokens)
    says = options.objective == "rankef"
    reading = Reading(
        prompt,
        tokens,
        min(options.max_tokens, source.config.get("max_position_embeddings", options.max_tokens)),
        feedback=options.feedback_tokens if says else 0,
        end=stop_tokens(source, tokens)[0] if says else 0,
    )
    rows = datasets.labelled_rows(train_jsonl)
    others = datasets.labelled_rows(validation_jsonl) if validation_jsonl is not None else []
    datasets.apart(rows, others)
    train, validation = reading.rows(rows), None
    data = {"train": described(rows, train)}
    if others:
        others = sample(others, options.validation_tasks, options.seed)
        validation = reading.rows(others)
        data["validation"] = described(others, validation)
    decides = [options.decides(), data, source.origin, hashlib.sha256(source.tokenizer.data).hexdigest()]
    if begins is not None:
        decides.append(sha256(begins / WEIGHTS))
    fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return Prepared(source, wording, verdicts, train, validation, data, fingerprint, begins)


def adapter_in(folder: str | os.PathLike[str], options: TrainOptions) -> Path:
    """A folder that a training left; ToolkitError where it holds no adapter, or all weights are to be trained."""
    path = Path(folder)
    if options.full:
        raise ToolkitError("all weights are trained from a checkpoint: give that as the base instead of start_from")
    if not (path / WEIGHTS).is_file():
        raise ToolkitError(f"{path} holds no {WEIGHTS}; start_from is a folder that gavel train left")
    return path


def open_base(base: str | os.PathLike[str]) -> Source:
    """A checkpoint, or a bundle as one."""
    return BundleSource(base) if (Path(base) / MANIFEST).is_file() else open_source(os.fspath(base))


def read_as(options: TrainOptions, prompt: Segments, tokens: Text) -> tuple[Verdicts, dict[str, Any]]:
    """How the verdict is read, in training and as judge.json says it."""
    said = {"prompt": options.judge_prompt, "plain": options.plain, "trained": True}
    if options.speaks:
        yes, no = (spelling(prompt, words, tokens) for words in (YES, NO))
        correct, wrong = verdict_tokens(prompt, [yes, no], tokens, strict=True)
        return Verdicts(correct, wrong), said | {"positive": [yes], "negative": [no]}
    labels = LABELS if options.objective == "rankef" else ("correct", "wrong")
    verdicts = Verdicts(0, 1, labels)
    return verdicts, said | {"labels": list(labels), "positive_label": "correct"}


def spelling(prompt: Segments, words: Sequence[str], tokens: Text) -> str:
    """The first of them that is one token where the prompt ends, as it is or after a space."""
    for written in spellings(words):
        if verdict_tokens(prompt, [written], tokens, strict=False):
            return written
    raise ToolkitError(f"none of {', '.join(words)} is one token for this model; train a classifier instead")


def sample(rows: list[Row], most: int | None, seed: int) -> list[Row]:
    if most is None or len(rows) <= most:
        return rows
    chosen = sorted(random.Random(seed).sample(range(len(rows)), most))
    return [rows[at] for at in chosen]


def described(rows: list[Row], found: Examples) -> dict[str, Any]:
    return {
        "tasks": len(found.tasks),
        "candidates": found.candidates,
        "correct": found.correct,
        "left_out": {"same": found.same, "unusable": found.unusable, "too_long": found.too_long},
        "labels_sha256": labels_digest(rows),
    }
