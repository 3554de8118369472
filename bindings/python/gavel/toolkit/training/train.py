"""A judge is trained from a base and labelled rows, and left as a folder that an export or a bundle takes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gavel.toolkit import bundle as bundles
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import Progress, version
from gavel.toolkit.training import curves
from gavel.toolkit.training.checkpoint import State
from gavel.toolkit.training.estimate import Estimate, estimate, peak_memory
from gavel.toolkit.training.model import JudgeModel
from gavel.toolkit.training.options import TrainOptions
from gavel.toolkit.training.prepare import Prepared, prepare
from gavel.toolkit.training.save import save
from gavel.toolkit.training.trainer import Trainer

TRAINING_FILE = "training.json"


@dataclass(frozen=True)
class TrainResult:
    """What a training made: ``record`` is training.json."""

    folder: Path
    record: dict[str, Any]


def train(
    base: str | os.PathLike[str],
    train_jsonl: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    validation_jsonl: str | os.PathLike[str] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    options: TrainOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Trains a judge, or goes on with a training of the same options that was stopped.

    ``base`` is a Hugging Face folder, a ``.gguf`` file, a Hub id or a bundle; of a bundle, the weights as it rounds
    them, so that an adapter fits what will run. Rows are labelled ones. The folder ``output`` becomes a peft adapter
    (or, of all weights, a checkpoint) with ``judge.json``, which says how it is asked, ``training.json`` with the
    hash of the labels, the options and the figures, and the learning curves; it is what `export` and `adapt` take.
    ``start_from`` is such a folder, of an adapter whose weights are where the training begins: a judge that learns from
    other rows as well, or with another loss.

    Raises ToolkitError for rows without labels, of one outcome alone, or with problems on both sides.
    """
    options = options or TrainOptions()
    folder = Path(output)
    if (folder / TRAINING_FILE).exists() and not overwrite:
        raise ToolkitError(f"{folder} holds a finished training; name another folder, or replace it with --overwrite")
    if overwrite:
        State.remove(folder)
    tell = progress or (lambda step, share: None)
    tell("open", 0.0)
    prepared = prepare(base, train_jsonl, validation_jsonl, options, start_from)
    folder.mkdir(parents=True, exist_ok=True)
    state = State.load(folder, prepared.fingerprint)
    trainer = start(prepared, options)
    state = trainer.run(state, folder, prepared.fingerprint, tell)
    record = recorded(prepared, options, state, trainer)
    save(trainer.model, prepared.source, prepared.wording, folder)
    curves.write(state.history, state.best_step, folder)
    write_atomically(folder / TRAINING_FILE, bundles.to_json(record))
    State.remove(folder)
    return TrainResult(folder, record)


def dry_run(
    base: str | os.PathLike[str],
    train_jsonl: str | os.PathLike[str],
    *,
    validation_jsonl: str | os.PathLike[str] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    options: TrainOptions | None = None,
) -> Estimate:
    """How long `train` would take and how much memory, measured on a few of its steps."""
    options = options or TrainOptions()
    return estimate(start(prepare(base, train_jsonl, validation_jsonl, options, start_from), options))


def start(prepared: Prepared, options: TrainOptions) -> Trainer:
    torch.manual_seed(options.seed)
    model = JudgeModel(prepared.source, prepared.verdicts, options).train()
    if prepared.start_from is not None:
        model.load_adapter(prepared.start_from)
    return Trainer(model, prepared.train, prepared.validation.tasks if prepared.validation else [], options)


def recorded(prepared: Prepared, options: TrainOptions, state: State, trainer: Trainer) -> dict[str, Any]:
    best = state.best_step or state.step
    source = prepared.source
    begun = {} if prepared.start_from is None else {"start_from": _before(prepared.start_from)}
    return {
        "created_by": f"gavel {version()}",
        "base": {"name": source.name, "origin": source.base or source.origin, "license": source.license},
        **begun,
        "options": asdict(options),
        "data": prepared.data,
        "steps": {"planned": trainer.steps, "done": state.step, "best": best},
        "validation": next((look for look in state.history if "top_1" in look and look["step"] == best), None),
        "seconds": round(state.seconds, 1),
        "tokens": state.tokens,
        "tokens_per_second": round(state.tokens / max(state.seconds, 1e-9), 1),
        "memory_bytes": peak_memory(options.device),
        "trained_parameters": sum(each.numel() for each in trainer.model.trained().values()),
        "torch": torch.__version__,
    }


def _before(folder: Path) -> dict[str, Any]:
    """What the training was that this one began from."""
    known = json.loads((folder / TRAINING_FILE).read_bytes()) if (folder / TRAINING_FILE).is_file() else {}
    return {"name": folder.name} | {
        name: known[name] for name in ("options", "data", "steps", "start_from") if name in known
    }
