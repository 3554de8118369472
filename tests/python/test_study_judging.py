"""Judging figures beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from study_rows import analysed, judge, only, random_rows, row

from gavel.toolkit.study import judging
from gavel.toolkit.study.analysis import analyse
from gavel.toolkit.study.data import GeneratorRows, Study, Team, TestSet

JUDGES = [judge("asked", "zero-shot"), judge("trained", threshold=0.6, trained_on="writer")]
ROWS = random_rows(12, 8, ["asked", "trained"])


def flat(rows: list, name: str, compiled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """P(correct) and outcomes."""
    said = [
        (verdict["p_correct"], candidate["passed"])
        for one in rows
        for candidate in one["candidates"]
        if not (compiled and candidate["status"] == "compile_error")
        for verdict in candidate["verdicts"]
        if verdict["judge"] == name
    ]
    return np.array([p for p, _ in said]), np.array([passed for _, passed in said])


@pytest.mark.parametrize("subset", ["all", "compiled"])
@pytest.mark.parametrize("entry", JUDGES, ids=lambda entry: entry.label)
def test_figures_equal_scikit_learn(entry, subset: str) -> None:
    record = only(analysed(ROWS, JUDGES)["judging"], judge=entry.label, subset=subset)
    p, passed = flat(ROWS, entry.label, subset == "compiled")
    said = p >= entry.threshold
    (tn, fp), (fn, tp) = metrics.confusion_matrix(passed, said)
    assert list(record["confusion"].values()) == [tn, fp, fn, tp]
    assert (record["tasks"], record["candidates"], record["correct"]) == (12, len(p), passed.sum())
    kept = [
        [each for each in one["candidates"] if subset == "all" or each["status"] != "compile_error"] for one in ROWS
    ]
    place = [judge.label for judge in JUDGES].index(entry.label)
    of_tasks = [
        metrics.roc_auc_score([each["passed"] for each in one], [each["verdicts"][place]["logit"] for each in one])
        for one in kept
        if len({each["passed"] for each in one}) == 2
    ]
    close = {
        "auroc_within_tasks": np.mean(of_tasks),
        "accuracy": metrics.accuracy_score(passed, said),
        "kappa": metrics.cohen_kappa_score(passed, said),
        "mcc": metrics.matthews_corrcoef(passed, said),
        "auroc": metrics.roc_auc_score(passed, p),
        "brier": metrics.brier_score_loss(passed, p),
    }
    assert {name: record[name]["value"] for name in close} == pytest.approx(close, rel=1e-5)
    assert all(record[name]["low"] < record[name]["value"] < record[name]["high"] for name in close)
    assert record["precision"] == pytest.approx(metrics.precision_score(passed, said), rel=1e-5)
    assert record["recall"] == pytest.approx(metrics.recall_score(passed, said), rel=1e-5)


def test_resampled_agreement_is_that_of_the_resampled_candidates() -> None:
    """Each draw's kappa and correlation are scikit-learn's with the draw's weights, constant verdicts included."""
    random = np.random.default_rng(1)
    task, passed, said = random.integers(5, size=60), random.random(60) < 0.4, random.random(60) < 0.4
    table = np.zeros((5, 4))
    np.add.at(table, (task, 2 * passed + said), 1)
    weights = np.vstack([random.integers(4, size=(20, 5)), np.ones(5)])
    for line, kappa, mcc in zip(weights, judging.kappa(weights @ table), judging.mcc(weights @ table), strict=True):
        assert kappa == pytest.approx(metrics.cohen_kappa_score(passed, said, sample_weight=line[task]))
        assert mcc == pytest.approx(metrics.matthews_corrcoef(passed, said, sample_weight=line[task]))
    never = np.array([30.0, 0, 12, 0])  # it says "wrong" always
    assert (judging.kappa(never), judging.mcc(never)) == (0, 0)
    assert np.isnan(judging.kappa(np.array([7.0, 0, 0, 0])))


def test_confidence_and_calibration_by_hand() -> None:
    rows = [row("a/1", "pfpf", {"j": [0.97, 0.92, 0.55, 0.03]}), row("a/2", "pf", {"j": [0.20, 0.08]})]
    record = analysed(rows, [judge("j")])["judging"][0]
    right, wrong = record["confidence"]["correct"], record["confidence"]["wrong"]
    at = record["confidence"]["thresholds"].index
    assert record["confidence"]["thresholds"] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert [right["selected"][at(t)] for t in (0.5, 0.55, 0.6, 0.9, 0.95)] == [3, 3, 2, 2, 1]
    assert [right["right"][at(t)] for t in (0.5, 0.55, 0.6, 0.9, 0.95)] == [2, 2, 1, 1, 1]
    assert right["precision"][at(0.9)] == 0.5
    assert [wrong["selected"][at(t)] for t in (0.5, 0.8, 0.85, 0.95)] == [3, 3, 2, 1]
    assert [wrong["right"][at(t)] for t in (0.5, 0.8, 0.85, 0.95)] == [2, 2, 2, 1]
    # Bins of a fifteenth: 0.97 (right), 0.92 (wrong), 0.55 (right), 0.03 (wrong), 0.20 and 0.08 (one right, one wrong).
    distances = [0.97 - 1, 0.92, 0.55 - 1, 0.03, 0.20 - 1, 0.08]
    bins = {(int(p * 15)): [] for p in (0.97, 0.92, 0.55, 0.03, 0.20, 0.08)}
    for p, distance in zip((0.97, 0.92, 0.55, 0.03, 0.20, 0.08), distances, strict=True):
        bins[int(p * 15)].append(distance)
    assert record["ece"] == pytest.approx(sum(abs(sum(each)) for each in bins.values()) / 6, rel=1e-5)
    assert sum(one["candidates"] for one in record["reliability"]) == 6
    assert [one["candidates"] for one in record["reliability"]] == [len(bins[number]) for number in sorted(bins)]


def test_nothing_selected_has_no_precision() -> None:
    record = analysed([row("a/1", "pf", {"j": [0.4, 0.3]})], [judge("j")])["judging"][0]
    assert record["confidence"]["correct"]["precision"] == [None] * 10
    assert (record["precision"], record["recall"]) == (None, 0)
    assert record["confidence"]["wrong"]["precision"][:5] == [0.5, 0.5, 0.5, 1, 1]


def test_one_outcome_alone_has_no_auroc_and_no_kappa() -> None:
    record = analysed([row("a/1", "ff", {"j": [0.4, 0.3]})], [judge("j")])["judging"][0]
    assert (record["auroc"], record["kappa"], record["accuracy"]["value"]) == (None, None, 1)


def test_silent_judges_are_counted_and_left_out() -> None:
    rows = [row("a/1", "pfp", {"j": [0.9, None, 0.8]}), row("a/2", "pf", {"j": [None, None]})]
    result = analysed(rows, [judge("j"), judge("mute")])
    (record,) = [one for one in result["judging"] if one["subset"] == "all"]
    assert (record["judge"], record["tasks"], record["candidates"], record["unjudged"]) == ("j", 1, 2, 3)
    assert any("no verdicts of mute" in note for note in result["method"])


def test_by_data_set() -> None:
    rows = [*random_rows(5, 4, ["j"], task="human"), *random_rows(7, 4, ["j"], seed=1, task="mbjp")]
    records = analysed(rows, [judge("j")])["judging"]
    assert {one["dataset"]: one["tasks"] for one in records if one["subset"] == "all"} == {
        "all": 12,
        "human": 5,
        "mbjp": 7,
    }


@pytest.mark.parametrize("subset", ["all", "compiled"])
def test_auroc_of_likelihood_and_team(subset: str) -> None:
    team = Team("both", (JUDGES[0].id, JUDGES[1].id), (0.5, 2.0), log_likelihood=3.0)
    records = analysed(ROWS, JUDGES, teams=[team])["way_auroc"]
    candidates = [
        each for one in ROWS for each in one["candidates"] if subset == "all" or each["status"] != "compile_error"
    ]
    passed = [each["passed"] for each in candidates]
    likelihood = [each["mean_logprob"] for each in candidates]
    logits = [[verdict["logit"] for verdict in each["verdicts"]] for each in candidates]
    stacked = [0.5 * a + 2.0 * b + 3.0 * ll for (a, b), ll in zip(logits, likelihood, strict=True)]
    for way, scores in (("log-likelihood", likelihood), ("both", stacked)):
        record = only(records, way=way, subset=subset)
        assert record["auroc"]["value"] == pytest.approx(metrics.roc_auc_score(passed, scores), rel=1e-5)
        assert (record["tasks"], record["candidates"], record["correct"]) == (12, len(passed), sum(passed))
    assert {one["family"] for one in records} == {"rival", "team"}


def test_by_generator_and_all_together() -> None:
    """Tasks of both generators are one task to the bootstrap; who trained the judge is said."""
    other = random_rows(12, 8, ["asked", "trained"], seed=5)
    test_set = TestSet("test", [GeneratorRows("writer", ROWS), GeneratorRows("other", other)])
    records = analyse(Study("study", [test_set], JUDGES), draws=50)["judging"]
    pooled = only(records, judge="trained", subset="all", generator="all")
    p, passed = map(np.concatenate, zip(flat(ROWS, "trained"), flat(other, "trained"), strict=True))
    assert (pooled["tasks"], pooled["candidates"]) == (12, 2 * 12 * 8)
    assert pooled["auroc"]["value"] == pytest.approx(metrics.roc_auc_score(passed, p), rel=1e-5)
    own = {one["generator"]: one["own_generator"] for one in records if one["judge"] == "trained"}
    assert own == {"writer": True, "other": False, "all": None}
    assert {one["own_generator"] for one in records if one["judge"] == "asked"} == {None}
