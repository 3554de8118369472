"""Fits a probe on judged candidates and puts it into the bundle, with figures that say what it is worth."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import bundle as bundles
from gavel.toolkit import calibration, cross_validation, datasets, figures, taps
from gavel.toolkit.calibration import Calibration
from gavel.toolkit.cross_validation import Choice, OutOfFold
from gavel.toolkit.datasets import Progress, Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.labelled import candidates_of, labels_digest, task_of
from gavel.toolkit.taps import Taps


@dataclass(frozen=True)
class ProbeFit:
    """What a fit made: ``probe`` as probe.json holds it, and the evidence for its figures."""

    probe: dict[str, Any]
    out_of_fold: dict[str, list[float | None]]  # P(correct) of each candidate of a task, from the other tasks alone
    choices: list[Choice]  # of the outer folds


def fit_probe(
    bundle: str | os.PathLike[str],
    judged_jsonl: str | os.PathLike[str],
    *,
    layers: Sequence[int] | None = None,
    folds: int = 10,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    attach: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> ProbeFit:
    """Fits a probe on rows whose candidates say ``passed`` and, where ``attach``, adds it to the bundle.

    ``layers`` are those to choose from (all where None). ``output`` names a file for a copy of probe.json. Beside the
    rows it leaves the tapped states (``.taps/``; a run that was killed goes on there) and the out-of-fold
    probabilities (``.out-of-fold.json``), which ``report`` compares with the other ways to choose.
    """
    if folds < 2:
        raise ToolkitError(f"folds is {folds}; cross-validation needs 2 at least")
    manifest = bundles.read_manifest(bundle)
    layers = _layers(layers, manifest)
    rows = datasets.labelled_rows(judged_jsonl)
    total = len(rows) + folds
    tapped = taps.collect(
        rows,
        layers,
        taps.cache_folder(judged_jsonl, manifest),
        _Model(bundle, device).tap,
        (lambda done, _: progress(done, total)) if progress else None,
    )
    fit = fit_on_taps(
        rows,
        tapped,
        folds,
        seed,
        manifest["name"],
        (lambda done: progress(len(rows) + done, total)) if progress else None,
    )
    datasets.write_atomically(out_of_fold_path(judged_jsonl), _evidence(judged_jsonl, fit))
    if output is not None:
        datasets.write_atomically(output, bundles.to_json(fit.probe))
    if attach:
        bundles.add_probe(bundle, fit.probe)
    return fit


def fit_on_taps(rows: list[Row], tapped: Taps, folds: int, seed: int, base: str, folded: Any = None) -> ProbeFit:
    """The fit itself: nested cross-validation for the figures, then one probe on everything."""
    if tapped.passed.all() or not tapped.passed.any():
        outcome = "pass" if tapped.passed.all() else "fail"
        raise ToolkitError(
            f"all {len(tapped.passed)} candidates {outcome}; a probe needs some of either kind to learn from"
        )
    strengths = cross_validation.STRENGTHS
    count = iter(range(1, folds + 1))
    nested = cross_validation.cross_validate(
        tapped, strengths, folds, seed, (lambda: folded(next(count))) if folded else None
    )
    choice, logits = cross_validation.choose(tapped, strengths, folds, seed)
    linear = cross_validation.fit(tapped.states[:, tapped.layers.index(choice.layer)], tapped.passed, choice.strength)
    fitted = calibration.fit("platt", logits, tapped.passed)
    if fitted.scale <= 0:  # no signal to scale
        fitted = Calibration()
    probabilities = fitted.probabilities(nested.logits)
    placed = _per_task(rows, tapped, probabilities)
    labels = labels_digest(rows)
    probe = {
        "format": 1,
        "layers": [choice.layer],
        "weights": [[float(np.float32(weight)) for weight in linear.weights]],
        "bias": linear.bias,
        "calibration": fitted.manifest(),
        "threshold": 0.5,
        "abstain_band": 0.0,
        "figures": _figures(rows, tapped, nested, probabilities, placed, folds),
        "validation": _validation(tapped, nested, probabilities, folds, len(rows), labels),
        "fitted_on": _fitted_on(rows),
        "labels_sha256": labels,
        "base": base,
        "regularisation": choice.strength,
    }
    known = {task: [None if np.isnan(p) else float(p) for p in values] for task, values in placed.items()}
    return ProbeFit(probe, known, nested.choices)


def out_of_fold_path(judged_jsonl: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(judged_jsonl)}.out-of-fold.json")


def file_digest(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _evidence(judged: str | os.PathLike[str], fit: ProbeFit) -> bytes:
    evidence = {
        "rows_sha256": file_digest(judged),
        "base": fit.probe["base"],
        "choices": [asdict(choice) for choice in fit.choices],
        "p_correct": fit.out_of_fold,
    }
    return json.dumps(evidence, indent=1).encode()


def _layers(layers: Sequence[int] | None, manifest: dict[str, Any]) -> list[int]:
    last = manifest["architecture"]["layers"]
    chosen = sorted(set(range(last + 1) if layers is None else layers))
    if not chosen or chosen[0] < 0 or chosen[-1] > last:
        raise ToolkitError(f"layers {chosen}: {manifest['name']} has layers 0 (the embedding) to {last}")
    return chosen


class _Model:
    """Opened at the first candidate that no earlier run has read."""

    def __init__(self, bundle: str | os.PathLike[str], device: str) -> None:
        self._bundle, self._device = bundle, device
        self._model: Any = None

    def tap(self, row: Row, positions: list[int], layers: list[int]) -> NDArray[np.float32]:
        import gavel

        if self._model is None:
            self._model = gavel.Model.open(self._bundle, device=self._device)
        return gavel.tap(self._model, task_of(row), candidates_of(row, positions), layers)


def _per_task(rows: list[Row], tapped: Taps, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    placed = [np.full(len(row["candidates"]), np.nan) for row in rows]
    for task, position, value in zip(tapped.task, tapped.position, values, strict=True):
        placed[task][position] = value
    return {datasets.task_id(row): one for row, one in zip(rows, placed, strict=True)}


def _figures(
    rows: list[Row],
    tapped: Taps,
    nested: OutOfFold,
    probabilities: NDArray[np.float64],
    placed: dict[str, NDArray[np.float64]],
    folds: int,
) -> dict[str, Any]:
    outcomes = [datasets.outcomes(row) for row in rows]
    known = [[at for at, outcome in enumerate(one) if outcome is not None] for one in outcomes]
    passed = [np.array([outcome for outcome in one if outcome is not None]) for one in outcomes]
    scores = [one[at] for one, at in zip(placed.values(), known, strict=True)]
    ties = [_log_likelihood(row)[at] for row, at in zip(rows, known, strict=True)]
    return {
        "auroc": round(cross_validation.auroc(nested.logits, tapped.passed), 4),
        "brier": round(float(np.mean((probabilities - tapped.passed) ** 2)), 4),
        "pass_at_1_probe": round(float(figures.best_of(scores, ties, passed).mean()), 4),
        "pass_at_1_random": round(float(np.mean([one.mean() for one in passed])), 4),
        "pass_at_1_oracle": round(float(np.mean([one.any() for one in passed])), 4),
        "base_rate": round(float(np.concatenate(passed).mean()), 4),
        "tasks": len(rows),
        "candidates": int(sum(len(one) for one in passed)),
        "cross_validation": f"{min(folds, len(rows))} folds over tasks, layer and C chosen inside each",
    }


def _validation(
    tapped: Taps, nested: OutOfFold, probabilities: NDArray[np.float64], folds: int, tasks: int, labels: str
) -> dict[str, Any]:
    """As a calibrated judge has it; each candidate is judged by a probe that saw nothing of its task."""
    data = {"tasks": tasks, "problems": tasks, "folds": min(folds, tasks), "labels_sha256": labels}
    return calibration.validation("platt", nested.logits, probabilities, probabilities, tapped.passed, data)


def _log_likelihood(row: Row) -> NDArray[np.float64]:
    values = [candidate.get("mean_logprob") for candidate in row["candidates"]]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _fitted_on(rows: list[Row]) -> str:
    sets = Counter(datasets.dataset(row) for row in rows)
    candidates = sum(len(row["candidates"]) for row in rows)
    return f"{candidates} candidates of {len(rows)} tasks: " + ", ".join(f"{name} {n}" for name, n in sets.items())
