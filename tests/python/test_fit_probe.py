"""Fitting a probe: the same numbers as scikit-learn's own, honest splits, and states that are read once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gavel.toolkit import attention_probe, cross_validation, datasets, early_probes, fit_probe, taps
from gavel.toolkit import bundle as bundles
from gavel.toolkit.datasets import DatasetError
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.taps import Taps

HIDDEN, LAYERS, TASKS, EACH = 12, [0, 2, 4], 40, 10
TokenStates = list[np.ndarray]  # of each candidate, [tokens, layers, hidden]


def synthetic(signal: float = 2.0, seed: int = 0, problems: int = TASKS) -> tuple[list[datasets.Row], TokenStates]:
    """Rows and the states of their tokens: layer 2 knows the outcome, the others know noise and the task."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(TASKS, EACH, len(LAYERS), HIDDEN)) + 3 * random.normal(size=(TASKS, 1, 1, HIDDEN))
    direction = random.normal(size=HIDDEN)
    known = random.normal(size=(TASKS, EACH))
    means[:, :, 1] += signal * known[:, :, None] * direction
    means = (means * 5 + 7).reshape(-1, len(LAYERS), HIDDEN)
    passed = known + 0.5 * random.normal(size=known.shape) > 0.8
    tokens = random.integers(10, 80, size=len(means))
    states = [
        (mean + random.normal(size=(count, *mean.shape))).astype(np.float32)
        for mean, count in zip(means, tokens, strict=True)
    ]
    rows = [
        {
            "task_id": f"set{task % 2}/{task}",
            "prompt": f"p{task}",
            "source": f"problem {task % problems}",
            "candidates": [
                {"code": f"c{n}", "tokens": [task, n], "passed": bool(passed[task, n]), "mean_logprob": -1.0 - n}
                for n in range(EACH)
            ],
        }
        for task in range(TASKS)
    ]
    return rows, states


def tap_of(rows: list[datasets.Row], states: TokenStates, read: list[str] | None = None) -> taps.TapRow:
    """What the model would give of those states."""
    number = {row["task_id"]: at for at, row in enumerate(rows)}

    def tap(row: datasets.Row, positions: list[int], layers: list[int]) -> TokenStates:
        if read is not None:
            read.append(row["task_id"])
        at = [LAYERS.index(layer) for layer in layers]
        return [states[number[row["task_id"]] * EACH + position][:, at] for position in positions]

    return tap


def tapped(rows: list[datasets.Row], states: TokenStates, folder: Path, token_layer: int | None = None) -> Taps:
    return taps.collect(rows, LAYERS, folder, tap_of(rows, states), token_layer=token_layer)


def test_poolings_are_means_of_those_tokens(tmp_path: Path) -> None:
    rows, states = synthetic()
    found = tapped(rows, states, tmp_path, token_layer=2)
    for at in (0, 137, 399):
        one, count = states[at], len(states[at])
        expected = {
            "mean": one.mean(0),
            "last": one[-1],
            "tail": one[-((count + 3) // 4) :].mean(0),
            "share_0.25": one[: (count + 3) // 4].mean(0),
            "share_0.5": one[: (count + 1) // 2].mean(0),
            "share_0.75": one[: (3 * count + 3) // 4].mean(0),
            "first_16": one[:16].mean(0),
            "first_32": one[:32].mean(0),
            "first_64": one[:64].mean(0),
        }
        assert set(found.states) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found.states[name][at], value, rtol=1e-5)
        assert found.tokens[at] == count
        begin, end = found.token_states.starts[at : at + 2]
        np.testing.assert_array_equal(found.token_states.states[begin:end], one[:, 1].astype(np.float16))
    features = found.features([0, 4], ["mean", "last"], np.array([3, 5]))
    whole = [states[3], states[5]]
    expected = [np.concatenate([s[:, 0].mean(0), s[-1, 0], s[:, 2].mean(0), s[-1, 2]]) for s in whole]
    np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_fit_equals_scikit_learn_with_the_standardisation_folded_in(tmp_path: Path) -> None:
    found = tapped(*synthetic(), tmp_path)
    features = found.features([2, 4], ["mean", "last"], slice(None))
    linear = cross_validation.fit(features, found.passed, 0.01)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-9, max_iter=5000))
    reference.fit(features, found.passed)
    np.testing.assert_allclose(linear.logits(features), reference.decision_function(features), atol=1e-3)


def test_the_known_layer_is_chosen_and_the_figures_are_those_of_its_predictions(tmp_path: Path) -> None:
    rows, states = synthetic(signal=8.0)
    found = tapped(rows, states, tmp_path)
    fit = fit_probe.fit_on_taps(rows, found, folds=5, seed=0, base="base")
    assert 2 in {layer for layer, _ in bundles.probe_parts(fit.probe)}
    assert all(2 in choice.layers for choice in fit.choices)
    assert len(fit.choices) == 5
    by_hand = np.full(len(states), fit.probe["bias"])
    for term in fit.probe["terms"]:
        pooled = found.states[term["pooling"]][:, LAYERS.index(term["layer"])]
        by_hand += pooled.astype(np.float64) @ np.array(term["weights"])
    assert cross_validation.auroc(by_hand, found.passed) > 0.9
    np.testing.assert_allclose(fit_probe.logits_of(fit.probe, found), by_hand)
    figures = fit.probe["figures"]
    known = np.array([fit.out_of_fold[row["task_id"]] for row in rows])
    passed = found.passed.reshape(TASKS, EACH)
    assert figures["auroc"] == pytest.approx(cross_validation.auroc(known.reshape(-1), found.passed), abs=2e-4)
    inside = [roc_auc_score(p, k) for p, k in zip(passed, known, strict=True) if 0 < p.sum() < EACH]
    assert figures["auroc_within_tasks"] == pytest.approx(np.mean(inside), abs=2e-4)
    assert figures["brier"] == pytest.approx(((known - passed) ** 2).mean(), abs=1e-4)
    assert figures["pass_at_1_probe"] == pytest.approx(passed[np.arange(TASKS), known.argmax(1)].mean(), abs=1e-4)
    assert figures["pass_at_1_random"] == figures["base_rate"] == pytest.approx(passed.mean(), abs=1e-4)
    assert figures["pass_at_1_oracle"] == pytest.approx(passed.any(1).mean(), abs=1e-4)
    assert (figures["tasks"], figures["candidates"]) == (TASKS, TASKS * EACH)
    assert fit.probe["fitted_on"] == "400 candidates of 40 tasks: set0 20, set1 20"


def test_the_pooling_that_knows_is_chosen(tmp_path: Path) -> None:
    """The outcome stands in the last token alone, or in two layers of which neither knows it by itself."""
    rows, states = synthetic(signal=0.0)
    passed = np.array([candidate["passed"] for row in rows for candidate in row["candidates"]])
    for one, outcome in zip(states, passed, strict=True):
        one[-1, 1] += 40 * (1 if outcome else -1)
    choice = cross_validation.choose(tapped(rows, states, tmp_path / "a"), (1e-3, 1e-2), 4, 0)
    assert (choice.layers, "last" in choice.poolings) == ((2,), True) and choice.auroc > 0.99
    rows, states = synthetic(signal=0.0)
    noise = np.random.default_rng(5).normal(size=(len(states), HIDDEN)) * 30
    for one, outcome, shared in zip(states, passed, noise, strict=True):
        one[:, 0] += shared + 20 * (1 if outcome else -1)
        one[:, 2] += shared
    choice = cross_validation.choose(tapped(rows, states, tmp_path / "b"), (1e-3, 1e-2, 1e-1), 4, 0)
    assert {0, 4} <= set(choice.layers) and choice.auroc > 0.9


def test_a_choice_among_many_problems_is_made_on_some_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "MOST", 10)
    found = tapped(*synthetic(), tmp_path)
    drawn = np.random.default_rng(0).choice(TASKS, 10, replace=False)
    passed = np.where(np.isin(found.problem, drawn), found.passed, ~found.passed)
    before = cross_validation.choose(found, (1e-3, 1e-2), 3, 0)
    assert cross_validation.choose(replace(found, passed=passed), (1e-3, 1e-2), 3, 0) == before


def test_noise_gives_a_figure_near_chance(tmp_path: Path) -> None:
    """A choice made outside the folds would show here as a figure above chance."""
    found = []
    for seed in range(4):
        rows, states = synthetic(signal=0.0, seed=seed)
        taken = tapped(rows, states, tmp_path / str(seed))
        fit = fit_probe.fit_on_taps(rows, taken, folds=5, seed=0, base="base")
        found.append([fit.probe["figures"]["auroc"], *(one["figures"]["auroc"] for one in fit.probe["early"])])
    whole, *early = np.mean(found, 0)
    assert whole == pytest.approx(0.5, abs=0.04)
    assert max(early) < 0.54  # few are longer; with few candidates, out-of-fold figures of noise fall below one half


def test_a_problem_never_stands_on_both_sides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each problem is there twice, as one that two data sets have in two languages is."""
    rows, states = synthetic(problems=TASKS // 2)
    found = tapped(rows, states, tmp_path)
    seen: list[tuple[set[int], set[int]]] = []
    split = cross_validation.folds_over_tasks

    def watched(group: Any, folds: int, seed: int) -> Any:
        splits = split(group, folds, seed)
        seen.extend((set(group[training]), set(group[held_out])) for training, held_out in splits)
        return splits

    monkeypatch.setattr(cross_validation, "folds_over_tasks", watched)
    fit_probe.fit_on_taps(rows, found, folds=4, seed=0, base="base")
    assert len(seen) >= 4 + 4 * cross_validation.INNER_FOLDS + 4
    assert not any(training & held_out for training, held_out in seen)
    held_out = [problem for _, out in seen[:1] for problem in out]
    assert len(held_out) == TASKS // 2 // 4
    np.testing.assert_array_equal(found.problem, np.repeat(np.tile(np.arange(TASKS // 2), 2), EACH))


def test_an_outer_fold_is_never_seen_by_its_own_choice(tmp_path: Path) -> None:
    """Turning the outcomes of one fold's tasks round changes nothing about the probabilities it gets."""
    found = tapped(*synthetic(), tmp_path)
    before = cross_validation.cross_validate(found, (1e-3, 1e-2), 4, 0)
    held_out = cross_validation.folds_over_tasks(found.problem, 4, 0)[0][1]
    passed = found.passed.copy()
    passed[held_out] = ~passed[held_out]
    after = cross_validation.cross_validate(replace(found, passed=passed), (1e-3, 1e-2), 4, 0)
    np.testing.assert_array_equal(before.logits[held_out], after.logits[held_out])
    assert not np.array_equal(before.logits, after.logits)


def test_a_probe_brings_its_validation(tmp_path: Path) -> None:
    rows, states = synthetic(signal=8.0)
    found = tapped(rows, states, tmp_path)
    fit = fit_probe.fit_on_taps(rows, found, folds=5, seed=0, base="base")
    validation, known = fit.probe["validation"], np.array([fit.out_of_fold[row["task_id"]] for row in rows]).reshape(-1)
    assert (validation["method"], validation["tasks"], validation["folds"]) == ("platt", TASKS, 5)
    assert validation["calibrated"]["brier"] == pytest.approx(((known - found.passed) ** 2).mean(), abs=1e-6)
    at = len(validation["curve"]["thresholds"]) // 2
    above = known >= validation["curve"]["thresholds"][at]
    assert validation["curve"]["selected"][at] == above.sum()
    assert validation["curve"]["correct"][at] == found.passed[above].sum()


def test_early_probes_are_regressions_on_the_first_tokens_of_longer_candidates(tmp_path: Path) -> None:
    rows, states = synthetic(signal=8.0)
    found = tapped(rows, states, tmp_path)
    fit = fit_probe.fit_on_taps(rows, found, folds=5, seed=0, base="base")
    assert [one["tokens"] for one in fit.probe["early"]] == [16, 32, 64]
    for one in fit.probe["early"]:
        longer = np.array([len(each) > one["tokens"] for each in states])
        layers = [term["layer"] for term in one["terms"]]
        begun = np.array(
            [
                np.concatenate([each[: one["tokens"], LAYERS.index(layer)].mean(0) for layer in layers])
                for each, long in zip(states, longer, strict=True)
                if long
            ],
            np.float64,
        )
        reference = make_pipeline(
            StandardScaler(), LogisticRegression(C=fit.probe["regularisation"], tol=1e-9, max_iter=5000)
        ).fit(begun, found.passed[longer])
        weights = np.concatenate([term["weights"] for term in one["terms"]])
        np.testing.assert_allclose(begun @ weights + one["bias"], reference.decision_function(begun), atol=2e-3)
        assert one["figures"]["candidates"] == longer.sum() and one["figures"]["auroc"] > 0.8
    assert [one["share"] for one in fit.probe["beginnings"]] == [0.25, 0.5, 0.75]
    assert all(one["auroc"] > 0.9 for one in fit.probe["beginnings"])


def test_what_stopping_costs_and_saves() -> None:
    """Three tasks of two candidates by hand; the second is stopped after 32 tokens, the fourth after 16."""
    taps_ = Taps(
        [0],
        {},
        passed=np.array([True, False, False, True, True, False]),
        task=np.array([0, 0, 1, 1, 2, 2]),
        position=np.array([0, 1, 0, 1, 0, 1]),
        problem=np.array([0, 0, 1, 1, 2, 2]),
        tokens=np.array([100, 80, 20, 60, 10, 10]),
    )

    def early(tokens: int, probabilities: list[float]) -> early_probes.Early:
        return early_probes.Early(tokens, None, None, np.array(probabilities), {})

    none = float("nan")
    asked = [early(16, [0.9, 0.4, 0.2, 0.01, none, none]), early(32, [0.8, 0.01, none, 0.01, none, none])]
    whole = np.array([0.6, 0.7, 0.3, 0.9, 0.5, 0.6])
    table = early_probes.stopping(taps_, asked, whole, np.zeros(6))
    row = next(row for row in table if row["below"] == 0.05)
    assert row["stopped"] == pytest.approx(2 / 6, abs=1e-4)
    assert row["correct_stopped"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["tokens_saved"] == pytest.approx(1 - (100 + 32 + 20 + 16 + 10 + 10) / 280, abs=1e-4)
    # Task 0: the wrong one, which whole probes like better, is stopped. Task 1: its correct one is. Task 2: as before.
    assert row["pass_at_1_probe"] == pytest.approx(1 / 3, abs=1e-4)


def test_attention_finds_the_token_that_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token anywhere says the outcome, and that it does; the mean over all hardly shows it."""
    monkeypatch.setattr(attention_probe, "FOLDS", 2)
    rows, states = synthetic(signal=0.0)
    random = np.random.default_rng(3)
    passed = np.array([candidate["passed"] for row in rows for candidate in row["candidates"]])
    for one, outcome in zip(states, passed, strict=True):
        at = random.integers(len(one))
        one[:, 1] = random.normal(size=one[:, 1].shape)
        one[at, 1, 0] = 12.0
        one[at, 1, 1] = 3.0 if outcome else -3.0
    found = tapped(rows, states, tmp_path, token_layer=2)
    fit = fit_probe.fit_on_taps(rows, found, folds=4, seed=0, base="base")
    compared = fit.probe["attention"]
    assert compared["auroc"] > compared["auroc_linear"] + 0.05 and compared["gain_low"] > 0
    assert {pooling for _, pooling in bundles.probe_parts(fit.probe)} == {"attention"}
    assert fit.probe["figures"]["auroc"] == compared["auroc"]
    logits = fit_probe.logits_of(fit.probe, found)
    for at in (0, 250):
        tokens = torch.from_numpy(states[at][:, 1].astype(np.float16)).double()
        expected = fit.probe["bias"] + sum(
            float(
                (tokens @ torch.tensor(term["query"]).double()).softmax(0)
                @ tokens
                @ torch.tensor(term["weights"]).double()
            )
            for term in fit.probe["terms"]
        )
        assert logits[at] == pytest.approx(expected, abs=1e-6)


def test_attention_that_wins_nothing_is_told_and_left_out(tmp_path: Path) -> None:
    rows, states = synthetic(signal=8.0)
    found = tapped(rows, states, tmp_path, token_layer=2)
    fit = fit_probe.fit_on_taps(rows, found, folds=4, seed=0, base="base")
    assert fit.probe["attention"]["gain_low"] <= 0 < fit.probe["attention"]["auroc"]
    assert "attention" not in {pooling for _, pooling in bundles.probe_parts(fit.probe)}


def test_one_outcome_or_one_task_cannot_be_fitted(tmp_path: Path) -> None:
    rows, states = synthetic()
    found = tapped(rows, states, tmp_path)
    none = replace(found, passed=np.zeros_like(found.passed))
    with pytest.raises(ToolkitError, match="all 400 candidates fail"):
        fit_probe.fit_on_taps(rows, none, 5, 0, "base")
    few = tapped(rows[:9], states[:90], tmp_path / "few", token_layer=2)
    with pytest.raises(ToolkitError, match="9 problems: an attention-pooled head needs 10"):
        fit_probe.fit_on_taps(rows[:9], few, 2, 0, "base")
    with pytest.raises(ToolkitError, match="1 task"):
        cross_validation.folds_over_tasks(np.zeros(10, np.int64), 5, 0)


def test_states_are_read_once_and_spoilt_files_again(tmp_path: Path) -> None:
    rows, states = synthetic()
    rows[1]["candidates"][3].update(code="")  # its tokens do not count: no row says whose they are
    rows[2]["candidates"][3].update(code="")
    rows[2]["run"] = {"digests": {"tokenizer": "5e1f"}}
    calls: list[str] = []
    tap = tap_of(rows, states, calls)
    first = taps.collect(rows, [0, 2, 4], tmp_path, tap)
    assert len(calls) == TASKS
    assert len(first.passed) == TASKS * EACH - 1
    assert (1, 3) not in set(zip(first.task.tolist(), first.position.tolist(), strict=True))
    fewer = taps.collect(rows, [2], tmp_path, tap)
    assert len(calls) == TASKS
    np.testing.assert_array_equal(fewer.states["tail"][:, 0], first.states["tail"][:, 1])
    spoilt = sorted(tmp_path.iterdir())[0]
    spoilt.write_bytes(spoilt.read_bytes()[:-30])
    rows[5]["candidates"][0]["tokens"] = [9, 9, 9][:2]
    again = taps.collect(rows, [0, 2, 4], tmp_path, tap)
    assert TASKS < len(calls) <= TASKS + 2
    np.testing.assert_array_equal(again.states["mean"], first.states["mean"])
    before = len(calls)
    assert taps.collect(rows, [0, 2, 4], tmp_path, tap, token_layer=2).token_states.layer == 2
    assert len(calls) == before + TASKS  # the files had no token's own state


def test_states_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    rows, states = synthetic()
    with pytest.raises(DatasetError, match="task set0/0: the model gave states"):
        taps.collect(rows, [0], tmp_path, lambda row, at, layers: [np.full((3, 1, 2), np.nan)] * len(at))
    with pytest.raises(DatasetError, match="task set0/0: states beyond 65504"):
        taps.collect(rows, [0], tmp_path, lambda row, at, layers: [np.full((3, 1, 2), 1e6)] * len(at), token_layer=0)
    assert not list(tmp_path.iterdir())
    del rows[0]["candidates"][4]["passed"]
    with pytest.raises(DatasetError, match="candidate 4 says no `passed`; run `gavel label` first"):
        taps.collect(rows, [0], tmp_path, tap_of(rows, states))


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


class Model:
    """What `fit_probe` opens, on made-up states."""

    def __init__(self, rows: list[datasets.Row], states: TokenStates) -> None:
        self.read: list[str] = []
        self.tap = tap_of(rows, states, self.read)


def write(path: Path, rows: list[datasets.Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_whole_way_into_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, states = synthetic()
    judged = write(tmp_path / "judged.jsonl", rows)
    bundle = fake_bundle(tmp_path / "tiny.gavel")
    model = Model(rows, states)
    monkeypatch.setattr(fit_probe, "_Model", lambda *_: model)
    seen: list[tuple[int, int]] = []
    fit = fit_probe.fit_probe(
        bundle, judged, layers=LAYERS, folds=4, output=tmp_path / "probe.json", progress=lambda *at: seen.append(at)
    )
    assert seen == [(done, TASKS + 4) for done in range(1, TASKS + 5)]
    assert set(fit.seconds) == {"states", "fit"}
    assert (
        json.loads((bundle / "probe.json").read_text())
        == json.loads((tmp_path / "probe.json").read_text())
        == fit.probe
    )
    assert bundles.read_manifest(bundle)["probe"] == {"file": "probe.json"}
    bundles.verify(bundle)
    # The probe changed the manifest, not the states: nothing is read again, and the fit is the same.
    again = fit_probe.fit_probe(bundle, judged, layers=LAYERS, folds=4, attach=False)
    assert len(model.read) == TASKS
    assert again.probe == fit.probe
    with pytest.raises(ToolkitError, match="tiny has layers 0"):
        fit_probe.fit_probe(bundle, judged, layers=[5])
    with pytest.raises(ToolkitError, match="folds is 1"):
        fit_probe.fit_probe(bundle, judged, folds=1)


@pytest.mark.parametrize("attention", [False, True])
def test_figures_on_rows_of_other_problems(attention: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, states = synthetic(signal=8.0)
    monkeypatch.setattr(fit_probe, "_Model", lambda *_: Model(rows, states))
    judged, validation = write(tmp_path / "train.jsonl", rows[:30]), write(tmp_path / "valid.jsonl", rows[30:])
    bundle = fake_bundle(tmp_path / "tiny.gavel")
    fit = fit_probe.fit_probe(
        bundle, judged, validation=validation, layers=LAYERS, folds=4, attach=False, attention=attention
    )
    unseen = tapped(rows[30:], states[300:], tmp_path / "again", token_layer=2)
    logits = fit_probe.logits_of(fit.probe, unseen)
    assert fit.probe["held_out"]["auroc"] == pytest.approx(roc_auc_score(unseen.passed, logits), abs=1e-4)
    picked = unseen.passed.reshape(10, EACH)[np.arange(10), logits.reshape(10, EACH).argmax(1)]
    assert fit.probe["held_out"]["pass_at_1_probe"] == pytest.approx(picked.mean(), abs=1e-4)
    assert (fit.probe["held_out"]["tasks"], fit.probe["figures"]["tasks"]) == (10, 30)
    assert [one["tokens"] for one in fit.probe["held_out"]["early"]] == [16, 32, 64]
    with pytest.raises(ToolkitError, match="30 problems are in the training and in the validation rows"):
        fit_probe.fit_probe(bundle, judged, validation=judged, layers=LAYERS)


def test_layers_that_nobody_named_are_spread() -> None:
    architecture = {"name": "m", "architecture": {"layers": 24}}
    assert fit_probe._layers(None, architecture) == [8, 10, 12, 14, 16, 18, 20, 22, 24]
    assert fit_probe._layers(None, {"name": "m", "architecture": {"layers": 2}}) == [0, 1, 2]
