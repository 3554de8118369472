"""Fits a probe on judged candidates and puts it into the bundle, with figures that say what it is worth."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import bundle as bundles
from gavel.toolkit import calibration, cross_validation, datasets, early_probes, figures, taps
from gavel.toolkit.calibration import Calibration
from gavel.toolkit.cross_validation import Choice, Linear
from gavel.toolkit.datasets import Progress, Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.labelled import candidates_of, labels_digest
from gavel.toolkit.rows import task_of
from gavel.toolkit.taps import Taps

Doubles = NDArray[np.float64]
DEPTH = 0.6  # of the layer whose token states an attention-pooled head reads


@dataclass(frozen=True)
class ProbeFit:
    """What a fit made: ``probe`` as probe.json holds it, and the evidence for its figures."""

    probe: dict[str, Any]
    out_of_fold: dict[str, list[float | None]]  # P(correct) of each candidate of a task, from other problems alone
    choices: list[Choice]  # of the outer folds
    seconds: dict[str, float] = field(default_factory=dict)  # of reading states and of fitting


def fit_probe(
    bundle: str | os.PathLike[str],
    judged_jsonl: str | os.PathLike[str],
    *,
    validation: str | os.PathLike[str] | None = None,
    layers: Sequence[int] | None = None,
    folds: int = 10,
    seed: int = 0,
    attention: bool = False,
    output: str | os.PathLike[str] | None = None,
    attach: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> ProbeFit:
    """Fits a probe on rows whose candidates say ``passed`` and, where ``attach``, adds it to the bundle.

    ``layers`` are those to choose from; None takes up to nine, spread over the last two thirds of the model.
    ``validation`` names rows of other problems, for figures on what the fit has not seen. With ``attention`` a head
    that weighs tokens is trained too, and is the probe where it ranks better beyond chance. ``output`` names a file for
    a copy of probe.json. Beside the rows it leaves the tapped states (``.taps/``; a run that was killed goes on there)
    and the out-of-fold probabilities (``.out-of-fold.json``), which ``report`` compares with the other ways to choose.
    """
    if folds < 2:
        raise ToolkitError(f"folds is {folds}; cross-validation needs 2 at least")
    manifest = bundles.read_manifest(bundle)
    layers = _layers(layers, manifest)
    token_layer = min(layers, key=lambda layer: abs(layer - DEPTH * layers[-1])) if attention else None
    rows = datasets.labelled_rows(judged_jsonl)
    unseen = [] if validation is None else datasets.labelled_rows(validation)
    datasets.apart(rows, unseen)
    steps = _Steps(progress, len(rows) + len(unseen) + folds + (_attention_folds() if attention else 0))
    model = _Model(bundle, device)

    def tapped(of: list[Row], path: str | os.PathLike[str]) -> Taps:
        cache = taps.cache_folder(path, manifest)
        return taps.collect(of, layers, cache, model.tap, lambda *_: steps.advance(), token_layer)

    begun = time.perf_counter()
    seen = tapped(rows, judged_jsonl)
    others = None if validation is None else tapped(unseen, validation)
    read = time.perf_counter()
    fit = fit_on_taps(rows, seen, folds, seed, manifest["name"], steps.advance)
    if others is not None:
        fit.probe["held_out"] = held_out(fit.probe, unseen, others)
    fit.seconds.update(states=round(read - begun, 1), fit=round(time.perf_counter() - read, 1))
    datasets.write_atomically(out_of_fold_path(judged_jsonl), _evidence(judged_jsonl, fit))
    if output is not None:
        datasets.write_atomically(output, bundles.to_json(fit.probe))
    if attach:
        bundles.add_probe(bundle, fit.probe)
    return fit


def fit_on_taps(
    rows: list[Row], tapped: Taps, folds: int, seed: int, base: str, folded: Callable[[], None] | None = None
) -> ProbeFit:
    """The fit itself: nested cross-validation for the figures, then one probe on everything."""
    if tapped.passed.all() or not tapped.passed.any():
        outcome = "pass" if tapped.passed.all() else "fail"
        raise ToolkitError(
            f"all {len(tapped.passed)} candidates {outcome}; a probe needs some of either kind to learn from"
        )
    strengths = cross_validation.STRENGTHS
    nested = cross_validation.cross_validate(tapped, strengths, folds, seed, folded)
    choice = cross_validation.choose(tapped, strengths, folds, seed)
    linear = cross_validation.fit(
        tapped.features(choice.layers, choice.poolings, slice(None)), tapped.passed, choice.strength
    )
    head = {"terms": _terms(choice.terms(), linear.weights), "bias": linear.bias}
    honest, compared = nested.logits, {}
    logits = cross_validation.out_of_fold(tapped, choice, folds, seed)
    if tapped.token_states is not None:
        head, honest, logits, compared = _with_attention(tapped, head, honest, logits, seed, folded)
    fitted = calibration.platt(logits, tapped.passed)
    probabilities = fitted.probabilities(honest)
    placed = _per_task(rows, tapped, probabilities)
    ties = np.concatenate([_log_likelihood(row)[tapped.position[tapped.task == at]] for at, row in enumerate(rows)])
    early = early_probes.fit(tapped, choice, nested.choices, folds, seed)
    how = f"{_outer(tapped, folds)} folds over problems, layers, pooling and C chosen inside each"
    if honest is not nested.logits:
        how = f"{_attention_folds()} folds over problems, of a head trained until held-out ones rank no better"
    labels = labels_digest(rows)
    probe = {
        "format": 2,
        **head,
        "calibration": fitted.manifest(),
        "threshold": 0.5,
        "abstain_band": 0.0,
        "early": early_probes.manifest(early, choice, _terms),
        "figures": _figures(rows, tapped, honest, probabilities, placed) | {"cross_validation": how},
        **compared,
        "beginnings": early_probes.beginnings(tapped, nested.choices, folds, seed),
        "stopping": early_probes.stopping(tapped, early, probabilities, ties),
        "validation": _validation(tapped, honest, probabilities, folds, len(rows), labels),
        "fitted_on": _fitted_on(rows),
        "labels_sha256": labels,
        "base": base,
        "regularisation": choice.strength,
    }
    known = {task: [None if np.isnan(p) else float(p) for p in values] for task, values in placed.items()}
    return ProbeFit(probe, known, nested.choices)


def held_out(probe: dict[str, Any], rows: list[Row], tapped: Taps) -> dict[str, Any]:
    """The probe's figures on rows of problems that it was not fitted on, of its early probes too."""
    logits = logits_of(probe, tapped)
    probabilities = Calibration(**probe["calibration"]).probabilities(logits)
    placed = _per_task(rows, tapped, probabilities)
    early = []
    for one in probe["early"]:
        longer = tapped.tokens > one["tokens"]
        if not longer.any():
            continue
        begun = logits_of(one, tapped, taps.first(one["tokens"]))
        early.append({"tokens": one["tokens"]} | early_probes.figures(begun[longer], tapped.passed[longer]))
    return _figures(rows, tapped, logits, probabilities, placed) | {"early": early}


def logits_of(head: dict[str, Any], tapped: Taps, beginning: str | None = None) -> Doubles:
    """Log-odds before calibration of all candidates by a probe, or by an early one from their ``beginning``."""
    if head["terms"][0]["pooling"] == "attention":
        from gavel.toolkit.attention_probe import AttentionHead

        assert tapped.token_states is not None
        queries, weights = (np.array([term[name] for term in head["terms"]]) for name in ("query", "weights"))
        everyone = np.arange(len(tapped.passed))
        return AttentionHead(queries, weights, head["bias"]).logits(tapped.token_states, everyone)
    logits = np.full(len(tapped.passed), head["bias"])
    for term in head["terms"]:
        features = tapped.features([term["layer"]], [beginning or term["pooling"]], slice(None))
        logits += Linear(np.array(term["weights"]), 0.0).logits(features)
    return logits


def out_of_fold_path(judged_jsonl: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(judged_jsonl)}.out-of-fold.json")


class _Steps:
    """Counts what is done of all that is to do."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)


def _attention_folds() -> int:
    from gavel.toolkit import attention_probe

    return attention_probe.FOLDS


def _with_attention(
    tapped: Taps,
    head: dict[str, Any],
    honest: Doubles,
    logits: Doubles,
    seed: int,
    folded: Callable[[], None] | None,
) -> tuple[dict[str, Any], Doubles, Doubles, dict[str, Any]]:
    """The better of the linear probe and a head that weighs tokens: it, its honest logits, those to calibrate on, and
    the comparison."""
    from gavel.toolkit import attention_probe

    assert tapped.token_states is not None
    problems, least = len(np.unique(tapped.problem)), 2 * attention_probe.FOLDS
    if problems < least:
        raise ToolkitError(
            f"{problems} problems: an attention-pooled head needs {least} at least; label more, or fit without it"
        )
    theirs = attention_probe.out_of_fold(tapped, seed, folded)
    compared = {"attention": attention_probe.compare(tapped, theirs, honest, seed)}
    if compared["attention"]["gain_low"] <= 0:
        return head, honest, logits, compared
    trained = attention_probe.fit(tapped, np.arange(len(tapped.passed)), seed)
    return {"terms": trained.terms(tapped.token_states.layer), "bias": trained.bias}, theirs, theirs, compared


def _terms(parts: list[tuple[int, str]], weights: Doubles) -> list[dict[str, Any]]:
    """A linear probe's weights by layer and pooling, in the engine's precision."""
    return [
        {"layer": layer, "pooling": pooling, "weights": [float(np.float32(weight)) for weight in each]}
        for (layer, pooling), each in zip(parts, np.split(weights, len(parts)), strict=True)
    ]


def _evidence(judged: str | os.PathLike[str], fit: ProbeFit) -> bytes:
    evidence = {
        "rows_sha256": bundles.sha256(Path(judged)),
        "base": fit.probe["base"],
        "choices": [asdict(choice) for choice in fit.choices],
        "p_correct": fit.out_of_fold,
    }
    return json.dumps(evidence, indent=1).encode()


def _layers(layers: Sequence[int] | None, manifest: dict[str, Any]) -> list[int]:
    last = manifest["architecture"]["layers"]
    begin = last // 3
    spread = range(begin, last + 1, max(1, -(-(last + 1 - begin) // 9)))
    chosen = sorted(set(spread if layers is None else layers))
    if not chosen or chosen[0] < 0 or chosen[-1] > last:
        raise ToolkitError(f"layers {chosen}: {manifest['name']} has layers 0 (the embedding) to {last}")
    return chosen


class _Model:
    """Opened at the first candidate that no earlier run has read."""

    def __init__(self, bundle: str | os.PathLike[str], device: str) -> None:
        self._bundle, self._device = bundle, device
        self._model: Any = None

    def tap(self, row: Row, positions: list[int], layers: list[int]) -> list[NDArray[np.float32]]:
        import gavel

        if self._model is None:
            self._model = gavel.Model.open(self._bundle, device=self._device)
        return gavel.tap_tokens(self._model, task_of(row), candidates_of(row, positions), layers)


def _per_task(rows: list[Row], tapped: Taps, values: Doubles) -> dict[str, Doubles]:
    placed = [np.full(len(row["candidates"]), np.nan) for row in rows]
    for task, position, value in zip(tapped.task, tapped.position, values, strict=True):
        placed[task][position] = value
    return {datasets.task_id(row): one for row, one in zip(rows, placed, strict=True)}


def _figures(
    rows: list[Row],
    tapped: Taps,
    logits: Doubles,
    probabilities: Doubles,
    placed: dict[str, Doubles],
) -> dict[str, Any]:
    outcomes = [datasets.outcomes(row) for row in rows]
    known = [[at for at, outcome in enumerate(one) if outcome is not None] for one in outcomes]
    passed = [np.array([outcome for outcome in one if outcome is not None]) for one in outcomes]
    scores = [one[at] for one, at in zip(placed.values(), known, strict=True)]
    ties = [_log_likelihood(row)[at] for row, at in zip(rows, known, strict=True)]
    return {
        "auroc": round(cross_validation.auroc(logits, tapped.passed), 4),
        "auroc_within_tasks": round(cross_validation.auroc_within(logits, tapped.passed, tapped.task), 4),
        "brier": round(float(np.mean((probabilities - tapped.passed) ** 2)), 4),
        "pass_at_1_probe": round(float(figures.best_of(scores, ties, passed).mean()), 4),
        "pass_at_1_random": round(float(np.mean([one.mean() for one in passed])), 4),
        "pass_at_1_oracle": round(float(np.mean([one.any() for one in passed])), 4),
        "base_rate": round(float(np.concatenate(passed).mean()), 4),
        "tasks": len(rows),
        "candidates": int(sum(len(one) for one in passed)),
    }


def _outer(tapped: Taps, folds: int) -> int:
    return min(folds, len(np.unique(tapped.problem)))


def _validation(
    tapped: Taps, logits: Doubles, probabilities: Doubles, folds: int, tasks: int, labels: str
) -> dict[str, Any]:
    """As a calibrated judge has it; each candidate is judged by a probe that saw nothing of its problem."""
    data = {
        "tasks": tasks,
        "problems": len(np.unique(tapped.problem)),
        "folds": _outer(tapped, folds),
        "labels_sha256": labels,
    }
    return calibration.validation("platt", logits, probabilities, probabilities, tapped.passed, data)


def _log_likelihood(row: Row) -> Doubles:
    values = [candidate.get("mean_logprob") for candidate in row["candidates"]]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _fitted_on(rows: list[Row]) -> str:
    sets = Counter(datasets.dataset(row) for row in rows)
    candidates = sum(len(row["candidates"]) for row in rows)
    return f"{candidates} candidates of {len(rows)} tasks: " + ", ".join(f"{name} {n}" for name, n in sets.items())
