"""Fitting a probe: the same numbers as scikit-learn's own, honest splits, and states that are read once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gavel.toolkit import bundle as bundles
from gavel.toolkit import cross_validation, datasets, fit_probe, taps
from gavel.toolkit.datasets import DatasetError
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.taps import Taps

HIDDEN, LAYERS, TASKS, EACH = 12, [0, 2, 4], 40, 10


def synthetic(signal: float = 2.0, seed: int = 0) -> tuple[list[datasets.Row], Taps]:
    """Rows and their states: layer 2 knows the outcome, the others know noise and the task."""
    random = np.random.default_rng(seed)
    states = random.normal(size=(TASKS, EACH, len(LAYERS), HIDDEN)) + 3 * random.normal(size=(TASKS, 1, 1, HIDDEN))
    direction = random.normal(size=HIDDEN)
    known = random.normal(size=(TASKS, EACH))
    states[:, :, 1] += signal * known[:, :, None] * direction
    states = (states * 5 + 7).reshape(-1, len(LAYERS), HIDDEN).astype(np.float32)
    passed = known + 0.5 * random.normal(size=known.shape) > 0.8
    rows = [
        {
            "task_id": f"set{task % 2}/{task}",
            "prompt": f"p{task}",
            "candidates": [
                {"code": f"c{n}", "tokens": [task, n], "passed": bool(passed[task, n]), "mean_logprob": -1.0 - n}
                for n in range(EACH)
            ],
        }
        for task in range(TASKS)
    ]
    number, position = np.divmod(np.arange(TASKS * EACH), EACH)
    return rows, Taps(LAYERS, states, passed.reshape(-1), number, position)


def test_fit_equals_scikit_learn_with_the_standardisation_folded_in() -> None:
    _, tapped = synthetic()
    states = tapped.states[:, 1]
    linear = cross_validation.fit(states, tapped.passed, 0.01)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-9, max_iter=5000))
    reference.fit(states.astype(np.float64), tapped.passed)
    np.testing.assert_allclose(linear.logits(states), reference.decision_function(states.astype(np.float64)), atol=1e-3)


def test_the_known_layer_is_chosen_and_the_figures_are_those_of_its_predictions() -> None:
    rows, tapped = synthetic(signal=8.0)
    fit = fit_probe.fit_on_taps(rows, tapped, folds=5, seed=0, base="base")
    assert fit.probe["layers"] == [2]
    assert {choice.layer for choice in fit.choices} == {2}
    assert len(fit.choices) == 5
    logits = tapped.states[:, 1].astype(np.float64) @ np.array(fit.probe["weights"][0]) + fit.probe["bias"]
    assert cross_validation.auroc(logits, tapped.passed) > 0.9
    figures = fit.probe["figures"]
    known = np.array([fit.out_of_fold[row["task_id"]] for row in rows])
    passed = tapped.passed.reshape(TASKS, EACH)
    assert figures["auroc"] == pytest.approx(cross_validation.auroc(known.reshape(-1), tapped.passed), abs=2e-4)
    assert figures["brier"] == pytest.approx(((known - passed) ** 2).mean(), abs=1e-4)
    assert figures["pass_at_1_probe"] == pytest.approx(passed[np.arange(TASKS), known.argmax(1)].mean(), abs=1e-4)
    assert figures["pass_at_1_random"] == figures["base_rate"] == pytest.approx(passed.mean(), abs=1e-4)
    assert figures["pass_at_1_oracle"] == pytest.approx(passed.any(1).mean(), abs=1e-4)
    assert (figures["tasks"], figures["candidates"]) == (TASKS, TASKS * EACH)
    assert fit.probe["fitted_on"] == "400 candidates of 40 tasks: set0 20, set1 20"


def test_noise_gives_a_figure_near_chance() -> None:
    """A choice made outside the folds would show here as a figure above chance."""
    found = []
    for seed in range(4):
        rows, tapped = synthetic(signal=0.0, seed=seed)
        found.append(fit_probe.fit_on_taps(rows, tapped, folds=5, seed=0, base="base").probe["figures"]["auroc"])
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


def test_a_task_never_stands_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, tapped = synthetic()
    seen: list[tuple[set[int], set[int]]] = []
    split = cross_validation.folds_over_tasks

    def watched(task: Any, folds: int, seed: int) -> Any:
        splits = split(task, folds, seed)
        seen.extend((set(task[training]), set(task[held_out])) for training, held_out in splits)
        return splits

    monkeypatch.setattr(cross_validation, "folds_over_tasks", watched)
    fit_probe.fit_on_taps(rows, tapped, folds=4, seed=0, base="base")
    assert len(seen) == 4 + 4 * cross_validation.INNER_FOLDS + 4
    assert not any(training & held_out for training, held_out in seen)
    held_out = [task for _, out in seen[:4] for task in out]
    assert sorted(held_out) == list(range(TASKS))


def test_an_outer_fold_is_never_seen_by_its_own_choice() -> None:
    """Turning the outcomes of one fold's tasks round changes nothing about the probabilities it gets."""
    _, tapped = synthetic()
    before = cross_validation.cross_validate(tapped, (1e-3, 1e-2), 4, 0).logits
    held_out = cross_validation.folds_over_tasks(tapped.task, 4, 0)[0][1]
    passed = tapped.passed.copy()
    passed[held_out] = ~passed[held_out]
    turned = Taps(tapped.layers, tapped.states, passed, tapped.task, tapped.position)
    after = cross_validation.cross_validate(turned, (1e-3, 1e-2), 4, 0).logits
    np.testing.assert_array_equal(before[held_out], after[held_out])
    assert not np.array_equal(before, after)


def test_a_probe_brings_its_validation() -> None:
    rows, tapped = synthetic(signal=8.0)
    fit = fit_probe.fit_on_taps(rows, tapped, folds=5, seed=0, base="base")
    validation, known = fit.probe["validation"], np.array([fit.out_of_fold[row["task_id"]] for row in rows]).reshape(-1)
    assert (validation["method"], validation["tasks"], validation["folds"]) == ("platt", TASKS, 5)
    assert validation["calibrated"]["brier"] == pytest.approx(((known - tapped.passed) ** 2).mean(), abs=1e-6)
    at = len(validation["curve"]["thresholds"]) // 2
    above = known >= validation["curve"]["thresholds"][at]
    assert validation["curve"]["selected"][at] == above.sum()
    assert validation["curve"]["correct"][at] == tapped.passed[above].sum()


def test_one_outcome_or_one_task_cannot_be_fitted() -> None:
    rows, tapped = synthetic()
    none = Taps(LAYERS, tapped.states, np.zeros_like(tapped.passed), tapped.task, tapped.position)
    with pytest.raises(ToolkitError, match="all 400 candidates fail"):
        fit_probe.fit_on_taps(rows, none, 5, 0, "base")
    with pytest.raises(ToolkitError, match="1 task"):
        cross_validation.folds_over_tasks(np.zeros(10, np.int64), 5, 0)


def states_of(row: datasets.Row, positions: list[int], layers: list[int]) -> Any:
    return np.array([[[layer, *row["candidates"][at]["tokens"]] for layer in layers] for at in positions], np.float32)


def test_states_are_read_once_and_spoilt_files_again(tmp_path: Path) -> None:
    rows, _ = synthetic()
    rows[1]["candidates"][3].update(code="")  # its tokens do not count: no row says whose they are
    rows[2]["candidates"][3].update(code="")
    rows[2]["run"] = {"digests": {"tokenizer": "5e1f"}}
    calls: list[str] = []

    def tap(row: datasets.Row, positions: list[int], layers: list[int]) -> Any:
        calls.append(row["task_id"])
        return states_of(row, positions, layers)

    first = taps.collect(rows, [0, 2, 4], tmp_path, tap)
    assert len(calls) == TASKS
    assert len(first.passed) == TASKS * EACH - 1
    assert (1, 3) not in set(zip(first.task.tolist(), first.position.tolist(), strict=True))
    fewer = taps.collect(rows, [2], tmp_path, tap)
    assert len(calls) == TASKS
    np.testing.assert_array_equal(fewer.states[:, 0], first.states[:, 1])
    spoilt = sorted(tmp_path.iterdir())[0]
    spoilt.write_bytes(spoilt.read_bytes()[:-30])
    rows[5]["candidates"][0]["tokens"] = [9, 9, 9][:2]
    again = taps.collect(rows, [0, 2, 4], tmp_path, tap)
    assert TASKS < len(calls) <= TASKS + 2
    assert again.states.shape == first.states.shape


def test_states_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    rows, _ = synthetic()
    with pytest.raises(DatasetError, match="task set0/0: the model gave states"):
        taps.collect(rows, [0], tmp_path, lambda row, at, layers: np.full((len(at), 1, 2), np.nan))
    assert not list(tmp_path.iterdir())
    del rows[0]["candidates"][4]["passed"]
    with pytest.raises(DatasetError, match="candidate 4 says no `passed`; run `gavel label` first"):
        taps.collect(rows, [0], tmp_path, states_of)


def fake_bundle(folder: Path) -> Path:
    folder.mkdir()
    (folder / "program.pt").write_bytes(b"program")
    manifest = {
        "format": bundles.FORMAT,
        "name": "tiny",
        "kind": "decoder",
        "architecture": {"layers": 4, "hidden": HIDDEN},
        "precision": "fp32",
        "tokenizer": {},
        "tokens": {},
        "prompts": {},
        "head": {},
        "probe": None,
    }
    bundles.write_manifest(folder, manifest, ["program.pt"])
    return folder


def test_the_whole_way_into_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, tapped = synthetic()
    judged = tmp_path / "judged.jsonl"
    judged.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bundle = fake_bundle(tmp_path / "tiny.gavel")
    by_task = {row["task_id"]: number for number, row in enumerate(rows)}
    read: list[str] = []

    class Model:
        def __init__(self, *_: object) -> None:
            pass

        def tap(self, row: datasets.Row, positions: list[int], layers: list[int]) -> Any:
            read.append(row["task_id"])
            states = tapped.states.reshape(TASKS, EACH, len(LAYERS), HIDDEN)[by_task[row["task_id"]]]
            return states[positions][:, [LAYERS.index(layer) for layer in layers]]

    monkeypatch.setattr(fit_probe, "_Model", Model)
    seen: list[tuple[int, int]] = []
    fit = fit_probe.fit_probe(
        bundle, judged, layers=LAYERS, folds=4, output=tmp_path / "probe.json", progress=lambda *at: seen.append(at)
    )
    assert seen == [(done, TASKS + 4) for done in range(1, TASKS + 5)]
    assert (
        json.loads((bundle / "probe.json").read_text())
        == json.loads((tmp_path / "probe.json").read_text())
        == fit.probe
    )
    assert bundles.read_manifest(bundle)["probe"] == {"file": "probe.json"}
    bundles.verify(bundle)
    # The probe changed the manifest, not the states: nothing is read again, and the fit is the same.
    again = fit_probe.fit_probe(bundle, judged, layers=LAYERS, folds=4, attach=False)
    assert len(read) == TASKS
    assert again.probe == fit.probe
    with pytest.raises(ToolkitError, match="tiny has layers 0"):
        fit_probe.fit_probe(bundle, judged, layers=[5])
    with pytest.raises(ToolkitError, match="folds is 1"):
        fit_probe.fit_probe(bundle, judged, folds=1)
