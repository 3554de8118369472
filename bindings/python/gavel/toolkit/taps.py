"""Hidden states of judged candidates: read once through the engine, pooled, kept beside the rows, ready for fitting.

One pass over a candidate gives all that fitting asks for: means over the whole candidate, over its end and over its
beginnings, for every asked layer; and, for a head that weighs tokens itself, every token's state after one layer.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Progress, Row

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
# Row, positions of its candidates, layers -> for each candidate the states of its tokens [tokens, layers, hidden].
TapRow = Callable[[Row, list[int], list[int]], Sequence[Floats]]

SHARES = (0.25, 0.5, 0.75)  # of a candidate's tokens, which are known once it is written
FIRST = (16, 32, 64)  # tokens, which are known while it is written


def share(part: float) -> str:
    return f"share_{part:g}"


def first(tokens: int) -> str:
    return f"first_{tokens}"


def spans(tokens: int) -> dict[str, slice]:
    """Which of a candidate's tokens each pooling is the mean of."""
    whole = {"mean": 0, "last": tokens - 1, "tail": tokens - math.ceil(tokens / 4)}
    begun = {share(part): math.ceil(part * tokens) for part in SHARES}
    begun |= {first(count): min(count, tokens) for count in FIRST}
    return {name: slice(begin, tokens) for name, begin in whole.items()} | {
        name: slice(0, end) for name, end in begun.items()
    }


POOLINGS = tuple(spans(1))


@dataclass(frozen=True)
class TokenStates:
    """Every token's state after one layer, candidate after candidate."""

    layer: int
    states: NDArray[np.float16]  # [tokens, hidden]
    starts: Indices  # [candidates + 1]


@dataclass(frozen=True)
class Taps:
    """One line per usable candidate: its states, its outcome and where it stands."""

    layers: list[int]
    states: Mapping[str, Floats]  # by pooling, [candidates, layers, hidden]
    passed: NDArray[np.bool_]
    task: Indices  # number of the row
    position: Indices  # number within the row's candidates
    problem: Indices  # those of one source problem, in whatever language, have one number
    tokens: Indices  # how many the candidate has
    token_states: TokenStates | None = None

    def features(self, layers: Sequence[int], poolings: Sequence[str], among: Indices | slice) -> NDArray[np.float64]:
        """[candidates, len(layers) * len(poolings) * hidden], poolings within layers."""
        at = [self.layers.index(layer) for layer in layers]
        parts = [self.states[pooling][:, layer][among] for layer in at for pooling in poolings]
        return np.concatenate(parts, axis=1, dtype=np.float64)


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


def collect(
    rows: Sequence[Row],
    layers: list[int],
    cache: Path,
    tap: TapRow,
    progress: Progress | None = None,
    token_layer: int | None = None,
) -> Taps:
    """The taps of all rows, token states after ``token_layer`` among them where it is given.

    What an earlier run kept in ``cache`` is not read through the model again. The result lies in unnamed files there
    that are mapped, so that it takes disk rather than memory.
    """
    places = [usable(row) for row in rows]
    total = sum(map(len, places))
    if not total:
        raise DatasetError("no row has a candidate with text; there is nothing to fit on")
    cache.mkdir(parents=True, exist_ok=True)
    states: dict[str, Floats] = {}
    token_states = _Growing(cache)
    counts: list[int] = []
    for number, (row, positions) in enumerate(zip(rows, places, strict=True)):
        if positions:
            kept = _of_row(row, positions, layers, cache, tap, token_layer)
            begin = len(counts)
            for name in POOLINGS:
                shape = (total, *kept[name].shape[1:])
                states.setdefault(name, _mapped(cache, shape))[begin : begin + len(positions)] = kept[name]
            counts += [int(count) for count in kept["tokens"]]
            if token_layer is not None:
                token_states.add(kept["token_states"])
        if progress:
            progress(number + 1, len(rows))
    tokens = np.array(counts, np.int64)
    problems = {name: at for at, name in enumerate(dict.fromkeys(map(datasets.problem, rows)))}
    task = np.repeat(np.arange(len(rows)), [len(positions) for positions in places])
    starts = np.concatenate([np.zeros(1, np.int64), tokens.cumsum()])
    return Taps(
        layers,
        states,
        np.array([row["candidates"][at]["passed"] for row, at_ in zip(rows, places, strict=True) for at in at_], bool),
        task,
        np.array([at for positions in places for at in positions], np.int64),
        np.array([problems[datasets.problem(row)] for row in rows], np.int64)[task],
        tokens,
        None if token_layer is None else TokenStates(token_layer, token_states.all(), starts),
    )


def _mapped(folder: Path, shape: tuple[int, ...]) -> Floats:
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


class _Growing:
    """float16 rows one after another in an unnamed file."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, it is mapped as long as this lives
        self._width = 0

    def add(self, rows: NDArray[np.float16]) -> None:
        self._width = rows.shape[1]
        self._file.write(np.ascontiguousarray(rows, np.float16).data)

    def all(self) -> NDArray[np.float16]:
        self._file.flush()
        return np.memmap(self._file, np.float16, "r").reshape(-1, self._width)


def _of_row(
    row: Row, positions: list[int], layers: list[int], cache: Path, tap: TapRow, token_layer: int | None
) -> dict[str, NDArray[Any]]:
    file = cache / f"{_key(row, positions)}.npz"
    kept = _read(file, layers, token_layer)
    if kept is not None:
        return kept
    asked = layers if token_layer is None or token_layer in layers else [*layers, token_layer]
    read = [np.asarray(each, np.float32) for each in tap(row, positions, asked)]
    if len(read) != len(positions) or any(
        each.ndim != 3 or not len(each) or each.shape[1] != len(asked) or not np.isfinite(each).all() for each in read
    ):
        raise DatasetError(
            f"task {datasets.task_id(row)}: the model gave states of shapes {[each.shape for each in read]} or with "
            f"values that are not finite, where finite ones of {len(positions)} candidates and {len(asked)} layers "
            "were expected"
        )
    content: dict[str, NDArray[Any]] = {
        name: np.stack([each[spans(len(each))[name], : len(layers)].mean(0) for each in read]) for name in POOLINGS
    }
    content |= {"layers": np.array(layers), "tokens": np.array([len(each) for each in read])}
    if token_layer is not None:
        at = asked.index(token_layer)
        content |= {"token_layer": np.array(token_layer), "token_states": _half(row, [each[:, at] for each in read])}
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **content)
    datasets.write_atomically(file, packed.getvalue())
    return content


def _half(row: Row, states: list[Floats]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = np.concatenate(states).astype(np.float16)
    if not np.isfinite(half).all():
        raise DatasetError(
            f"task {datasets.task_id(row)}: states beyond 65504 do not fit the 16 bits that token states are kept in; "
            "fit without an attention-pooled head"
        )
    return half


def _read(file: Path, layers: list[int], token_layer: int | None) -> dict[str, NDArray[Any]] | None:
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            at = {int(layer): number for number, layer in enumerate(kept["layers"])}
            if not all(layer in at for layer in layers):
                return None
            if token_layer is not None and ("token_layer" not in kept or kept["token_layer"] != token_layer):
                return None
            found = {name: kept[name][:, [at[layer] for layer in layers]] for name in POOLINGS}
            found["tokens"] = kept["tokens"]
            if token_layer is not None:
                found["token_states"] = kept["token_states"]
            return found
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
