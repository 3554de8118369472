"""The report's figures, by arithmetic on rows small enough to count by hand."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from gavel.toolkit import figures, fit_probe, report, show_report
from gavel.toolkit.bundle import sha256
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.figures import Bootstrap


def row(task: str, outcomes: str, judge: list[float], logprob: list[float]) -> Row:
    """``outcomes`` has a letter for each candidate: p(asses), f(ails), c(ompile error)."""
    status = {"p": "pass", "f": "wrong", "c": "compile_error"}
    return {
        "task_id": task,
        "prompt": "p",
        "candidates": [
            {
                "code": str(number),
                "passed": letter == "p",
                "status": status[letter],
                "mean_logprob": logprob[number],
                "verdicts": [
                    {"judge": "asked", "kind": "verbalizer", "trained": False, "p_correct": 0.5, "logit": judge[number]}
                ],
            }
            for number, letter in enumerate(outcomes)
        ],
    }


ROWS = [
    row("a/1", "pf", [1.0, 0.0], [-1.0, -2.0]),  # both choose the one that passes
    row("a/2", "fp", [1.0, 1.0], [-2.0, -1.0]),  # the judge is tied: log-likelihood decides
    row("b/1", "cp", [2.0, 0.0], [-1.0, -2.0]),  # both choose the one that does not compile
    row("b/2", "ff", [0.0, 1.0], [-1.0, -1.0]),
]


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    path = tmp_path / "judged.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    return path


def with_probe(judged: Path, values: dict[str, list[float | None]]) -> None:
    evidence = {"rows_sha256": sha256(judged), "p_correct": values}
    fit_probe.out_of_fold_path(judged).write_text(json.dumps(evidence))


def by_name(group: dict[str, Any]) -> dict[str, float]:
    return {way["name"]: way["pass_at_1"]["value"] for way in group["ways"]}


def test_figures_by_hand(judged: Path) -> None:
    with_probe(judged, {"a/1": [0.2, 0.9], "a/2": [0.1, 0.8], "b/1": [None, 0.3], "b/2": [0.1, 0.1]})
    result = report.report(judged, draws=200)
    assert list(result["groups"]) == ["all", "a", "b"]
    group = result["groups"]["all"]
    assert (group["tasks"], group["candidates"]) == (4, 8)
    assert (group["base_rate"], group["compile_rate"]) == (3 / 8, 7 / 8)
    assert group["pass_at_k"] == {1: 3 / 8, 2: 3 / 4}
    assert by_name(group) == {
        "random": 3 / 8,
        "random, of those that compile": (0.5 + 0.5 + 1 + 0) / 4,
        "asked:verbalizer (zero-shot)": 2 / 4,
        "asked:verbalizer (zero-shot), of those that compile": 3 / 4,
        "mean log-likelihood": 2 / 4,
        "mean log-likelihood, of those that compile": 3 / 4,
        "probe (out-of-fold)": 2 / 4,
        "probe (out-of-fold), of those that compile": 2 / 4,
        "oracle": 3 / 4,
    }
    assert by_name(result["groups"]["a"])["probe (out-of-fold)"] == 1 / 2
    assert by_name(result["groups"]["b"])["oracle"] == 1 / 2
    probe = next(way for way in group["ways"] if way["name"] == "probe (out-of-fold)")
    assert probe["over_random"]["value"] == pytest.approx(1 / 8)
    # Seven candidates have a score; pairs of right and wrong: 0.2, 0.8, 0.3 against 0.9, 0.1, 0.1, 0.1.
    assert probe["auroc"]["value"] == pytest.approx(9 / 12)
    assert set(group["probe_over"]) == {"asked:verbalizer (zero-shot)", "mean log-likelihood"}
    assert group["probe_over"]["mean log-likelihood"]["value"] == 0


def test_without_a_probe_and_with_one_data_set(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in ROWS[:2]))
    result = report.report(path, draws=50)
    assert list(result["groups"]) == ["all"]
    assert list(by_name(result["groups"]["all"])) == [
        "random",
        "asked:verbalizer (zero-shot)",
        "mean log-likelihood",
        "oracle",
    ]
    assert result["groups"]["all"]["probe_over"] == {}


def test_evidence_for_other_rows_is_refused(judged: Path) -> None:
    with_probe(judged, {})
    judged.write_text(judged.read_text().replace("-2.0", "-2.5"))
    with pytest.raises(DatasetError, match="belongs to other rows"):
        report.report(judged)


def test_unlabelled_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"task_id": "a", "prompt": "p", "candidates": [{"code": "x"}]}\n')
    with pytest.raises(DatasetError, match="run `gavel label` first"):
        report.report(path)
    path.write_text('{"task_id": "a", "prompt": "p"}\n')
    with pytest.raises(DatasetError, match="no row has candidates"):
        report.report(path)


def test_trained_verdicts_carry_their_warning(judged: Path) -> None:
    judged.write_text(judged.read_text().replace('"trained": false', '"trained": true'))
    names = by_name(report.report(judged, draws=20)["groups"]["all"])
    assert "asked:verbalizer (trained, may have seen these tasks)" in names


def test_table_picture_and_file(judged: Path, tmp_path: Path) -> None:
    with_probe(judged, {"a/1": [0.2, 0.9], "a/2": [0.1, 0.8], "b/1": [0.2, 0.3], "b/2": [0.1, 0.1]})
    result = report.report(judged, draws=50)
    console = Console(file=StringIO(), width=200)
    for table in show_report.tables(result):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "all: 4 tasks, 8 candidates" in text
    assert "37.5% pass, 87.5% compile; pass @1 0.375, @2 0.750" in text
    assert "probe (out-of-fold)" in text
    show_report.plot(result, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    report.write(result, tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["groups"]["all"]["ways"] == result["groups"]["all"]["ways"]


def test_choice_breaks_ties_as_the_ranking_does() -> None:
    nan = float("nan")
    pick = lambda scores, ties: figures.pick(np.array(scores), np.array(ties))  # noqa: E731
    assert pick([0.5, 0.5], [-2.0, -1.0]) == 1
    assert pick([0.5, 0.5], [-1.0, -1.0]) == 0
    assert pick([nan, 0.0], [0.0, -9.0]) == 1
    assert pick([nan, nan], [nan, nan]) == 0


def test_pass_at_k_is_the_chance_of_a_draw() -> None:
    passed = np.array([True, False, False, True, False])
    assert figures.pass_at_k(passed, 1) == pytest.approx(2 / 5)
    assert figures.pass_at_k(passed, 2) == pytest.approx(1 - 3 / 10)
    assert figures.pass_at_k(passed, 4) == 1.0


def test_auroc_equals_scikit_learn_weights_and_ties_included() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(6, size=200).astype(float)
    passed = random.random(200) < 0.3
    task = random.integers(12, size=200)
    weights = random.integers(3, size=(5, 12)).astype(float)
    found = figures.weighted_auroc(scores, passed, task, weights)
    expected = [roc_auc_score(passed, scores, sample_weight=line[task]) for line in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bootstrap_is_paired_and_repeats_itself() -> None:
    values = np.random.default_rng(0).random(30)
    interval = Bootstrap(30, 4000, 0).mean(values)
    assert interval == Bootstrap(30, 4000, 0).mean(values)
    assert interval.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(30)
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    same = Bootstrap(30, 500, 0).mean(values - values)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    shifted = Bootstrap(30, 500, 0).mean((values + 0.1) - values)
    assert shifted.high - shifted.low < 1e-9


def test_bootstrapped_auroc_interval_holds_the_value() -> None:
    random = np.random.default_rng(0)
    task = np.repeat(np.arange(20), 5)
    passed = random.random(100) < 0.4
    scores = passed + random.normal(size=100)
    found = Bootstrap(20, 500, 0).auroc(scores, passed, task)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(passed, scores))
    assert found.low < found.value < found.high
    assert Bootstrap(20, 500, 0).auroc(scores, np.ones(100, bool), task) is None
