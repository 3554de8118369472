"""Hidden states of judged candidates: read once through the engine, kept beside the rows, ready for fitting."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Progress, Row

Floats = NDArray[np.float32]
TapRow = Callable[
    [Row, list[int], list[int]], Floats
]  # row, positions of its candidates, layers -> [n, layers, hidden]


@dataclass(frozen=True)
class Taps:
    """One line per usable candidate: its states, its outcome and where it stands."""

    layers: list[int]
    states: Floats  # [candidates, layers, hidden]
    passed: NDArray[np.bool_]
    task: NDArray[np.int64]  # number of the row
    position: NDArray[np.int64]  # number within the row's candidates


def usable(row: Row) -> list[int]:
    """Positions of the labelled candidates that have states: an empty one has no token to take them from, and tokens
    count only where the row says whose they are."""
    positions = []
    for position, outcome in enumerate(datasets.outcomes(row)):
        candidate = row["candidates"][position]
        tokens = candidate.get("tokens") and datasets.tokenizer(row)
        if outcome is not None and (candidate["code"].strip() or tokens):
            positions.append(position)
    return positions


def collect(rows: Sequence[Row], layers: list[int], cache: Path, tap: TapRow, progress: Progress | None = None) -> Taps:
    """The taps of all rows. What an earlier run kept in ``cache`` is not read through the model again."""
    states, passed, task, position = [], [], [], []
    for number, row in enumerate(rows):
        positions = usable(row)
        if positions:
            states.append(_of_row(row, positions, layers, cache, tap))
            passed += [row["candidates"][at]["passed"] for at in positions]
            task += [number] * len(positions)
            position += positions
        if progress:
            progress(number + 1, len(rows))
    if not states:
        raise DatasetError("no row has a candidate with text; there is nothing to fit on")
    return Taps(layers, np.concatenate(states), np.array(passed, bool), np.array(task), np.array(position))


def _of_row(row: Row, positions: list[int], layers: list[int], cache: Path, tap: TapRow) -> Floats:
    file = cache / f"{_key(row, positions)}.npz"
    kept = _read(file, layers)
    if kept is not None:
        return kept
    states = np.asarray(tap(row, positions, layers), np.float32)
    expected = (len(positions), len(layers))
    if states.shape[:2] != expected or not np.isfinite(states).all():
        raise DatasetError(
            f"task {datasets.task_id(row)}: the model gave states of shape {states.shape} or with values that are not "
            f"finite, where {expected} and finite ones were expected"
        )
    content = io.BytesIO()
    np.savez(content, layers=np.array(layers), states=states)
    datasets.write_atomically(file, content.getvalue())
    return states


def _read(file: Path, layers: list[int]) -> Floats | None:
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            at = {int(layer): number for number, layer in enumerate(kept["layers"])}
            if not all(layer in at for layer in layers):
                return None
            return np.asarray(kept["states"][:, [at[layer] for layer in layers]], np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # a spoilt file is read again, not trusted


def _key(row: Row, positions: list[int]) -> str:
    candidates = [[row["candidates"][at].get("tokens"), row["candidates"][at]["code"]] for at in positions]
    task = [datasets.prompt(row), datasets.prompting(row), datasets.language(row)]
    said = [task, datasets.tokenizer(row), candidates]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def cache_folder(judged: str | os.PathLike[str], manifest: dict[str, Any]) -> Path:
    """Beside the rows, named after what decides the states: not the whole manifest, which a new probe changes."""
    files = {name: entry for name, entry in manifest["files"].items() if name != "probe.json"}
    decides = json.dumps([files, manifest["prompts"], manifest["tokens"]], sort_keys=True)
    return Path(f"{os.fspath(judged)}.taps") / hashlib.sha256(decides.encode()).hexdigest()[:16]
