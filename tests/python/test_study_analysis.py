"""The whole analysis: plain values, the same each time, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from study_rows import analysed, judge, only, random_rows, row

from gavel.toolkit import formats
from gavel.toolkit.datasets import DatasetError
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study.analysis import analyse, plain
from gavel.toolkit.study.data import GeneratorRows, JudgeEntry, Study, Team, TestSet

JUDGES = [judge("asked", "zero-shot", base="writer"), judge("probe", "probe", base="writer"), judge("trained")]
ROWS = random_rows(10, 6, ["asked", "probe", "trained"])


def test_plain_values_and_the_same_each_time() -> None:
    options: dict[str, Any] = {"train_rows": random_rows(5, 6, [], seed=3), "data": {"test": {"sha256": "0" * 64}}}
    first, second = (analysed(ROWS, JUDGES, sizes=[2, 5], **options) for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert json.loads(json.dumps(first)) == first
    assert (first["format"], first["study"], first["data"]) == (1, "study", options["data"])
    assert first["settings"] == {"sizes": [2, 5], "repetitions": 10, "draws": 50, "seed": 0, "bins": 15}
    other = analysed(ROWS, JUDGES, sizes=[2, 5], seed=1, **options)
    assert other["ranking"] != first["ranking"]


def test_what_is_no_number_becomes_none() -> None:
    values = {"a": np.float64("nan"), 5: [np.int64(3), float("inf"), 1 / 3], "c": (True, None, "x")}
    assert plain(values) == {"a": None, "5": [3, None, 0.333333], "c": [True, None, "x"]}


def test_generators_say_their_candidates() -> None:
    rows = [row("a/1", "ppfc"), row("a/2", "ffff"), row("b/1", "pfff")]
    found = analysed(rows, sizes=[2])["generators"]
    every = only(found, dataset="all")
    assert (every["tasks"], every["candidates"], every["correct"], every["compiled"], every["solvable"]) == (
        3,
        12,
        3,
        11,
        2,
    )
    assert every["statuses"] == {"wrong": 8, "pass": 3, "compile_error": 1}
    expected = {"1": 0.25, "2": (5 / 6 + 0 + 3 / 6) / 3, "3": (1 + 0 + 3 / 4) / 3}
    assert every["pass_at_k"] == pytest.approx(expected, rel=1e-5)
    assert [one["dataset"] for one in found] == ["all", "a", "b"]


def test_rows_without_status_and_likelihood() -> None:
    """Out of domain: what the rows do not say is left out, and the reader is told."""
    rows = random_rows(6, 4, ["asked", "probe", "trained"])
    for one in rows:
        for candidate in one["candidates"]:
            del candidate["status"], candidate["mean_logprob"]
    result = analysed(rows, JUDGES, sizes=[2, 4])
    ways = {one["way"] for one in result["ranking"]}
    assert {"trained", "probe + trained", "majority of identical programs"} < ways
    assert not any("compiles" in way or "likelihood" in way for way in ways)
    assert {one["subset"] for one in result["judging"]} == {"all"}
    assert (result["generators"][0]["compiled"], result["generators"][0]["statuses"]) == (None, None)
    assert any("do not say which candidates compile" in note for note in result["method"])


def test_several_test_sets() -> None:
    sets = [
        TestSet("in", [GeneratorRows("writer", ROWS)]),
        TestSet("out", [GeneratorRows("one", ROWS), GeneratorRows("two", ROWS[:4])]),
    ]
    result = analyse(Study("study", sets, JUDGES), sizes=[2], draws=20)
    found = {(one["test_set"], one["generator"]) for one in result["judging"]}
    assert found == {("in", "writer"), ("out", "one"), ("out", "two"), ("out", "all")}
    assert {one["tasks"] for one in result["ranking"] if one["generator"] == "two"} == {4}


def test_codereval() -> None:
    file = ROOT.parent / "shared" / "data" / "codereval-java-codegen.jsonl"
    if not file.is_file():
        pytest.skip(f"{file} is not there; it holds CoderEval's judged candidates")
    rows = formats.read_records([file])
    random = np.random.default_rng(0)
    for one in rows:
        for candidate in one["candidates"]:
            p = float(np.clip(random.normal(0.6 if candidate["passed"] else 0.4, 0.2), 0.01, 0.99))
            candidate["verdicts"] = [{"judge": "j", "kind": "verbalizer", "p_correct": p, "logit": None}]
    result = analysed(rows, [judge("j")], sizes=[10])
    passing = [sum(candidate["passed"] for candidate in one["candidates"]) for one in rows]
    record = only(result["ranking"], way="oracle")
    assert record["tasks"] == len(rows)
    assert record["pass_at_1"]["value"] == pytest.approx(np.mean([count > 0 for count in passing]), rel=1e-5)
    assert only(result["ranking"], way="j")["won"]["value"] > 0
    assert result["judging"][0]["candidates"] == sum(len(one["candidates"]) for one in rows)


def study(**change: Any) -> Study:
    return replace(Study("study", [TestSet("test", [GeneratorRows("writer", ROWS)])], JUDGES), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_sets": []}, "no test set"),
        ({"test_sets": [TestSet("t", [])]}, "test set t: no generator"),
        ({"test_sets": [TestSet("t", [GeneratorRows("g")])]}, "generator g has no rows"),
        ({"test_sets": [TestSet("t", [GeneratorRows("g", ROWS)] * 2)]}, "generator of test set t 'g' is there twice"),
        ({"test_sets": [TestSet("t", [GeneratorRows("g", ROWS + ROWS)])]}, "task of g 'a/0' is there twice"),
        ({"test_sets": [TestSet("t", [GeneratorRows("g", ROWS, ROWS)])]}, "task a/0 has 6 candidates, expected one"),
        ({"test_sets": [TestSet("t", [GeneratorRows("g", ROWS)], [GeneratorRows("l")])]}, "l has no greedy rows"),
        ({"judges": [*JUDGES, JUDGES[0]]}, "judge 'asked verbalizer' is there twice"),
        ({"judges": [*JUDGES, replace(JUDGES[0], kind="probe")]}, "label 'asked' is there twice"),
        ({"judges": [judge("x", "oracle")]}, "role 'oracle'; expected one of zero-shot"),
        ({"teams": [Team("t", (("nobody", "probe"),))]}, r"team t: judge nobody \(probe\) is none of the study's"),
        ({"teams": [Team("t", ())]}, "team t: no judges"),
        ({"teams": [Team("t", (JUDGES[0].id,), (1.0, 2.0))]}, "2 weights for 1 judges"),
    ],
)
def test_studies_that_contradict_themselves(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolkitError, match=message):
        analyse(study(**change), draws=5)


@pytest.mark.parametrize("options", [{"sizes": []}, {"sizes": [1, 2]}, {"repetitions": 0}, {"draws": 0}])
def test_numbers_that_mean_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ToolkitError, match="expected sizes of 2 or more"):
        analyse(study(), **options)


def test_rows_that_are_not_labelled() -> None:
    unlabelled = [{"task_id": "a", "prompt": "p", "candidates": [{"code": "x"}]}]
    with pytest.raises(DatasetError, match="run `gavel label` first"):
        analysed(unlabelled)
    with pytest.raises(DatasetError, match="no candidate with a known outcome"):
        analysed([row("a/1", "hh")])
    with pytest.raises(ToolkitError, match="candidate 0 has no code"):
        analysed([{"task_id": "a", "prompt": "p", "candidates": [{"passed": True}]}])


def test_a_judge_without_log_odds_is_ranked_by_its_probability() -> None:
    """A remote judge says 0, 1 or between, and no logit."""
    rows = [row("a/1", "fp")]
    for candidate, p in zip(rows[0]["candidates"], (0.0, 1.0), strict=True):
        candidate["verdicts"] = [{"judge": "r", "kind": "remote", "p_correct": p, "logit": None}]
    entry = JudgeEntry("r", "remote", "remote", "remote")
    team = Team("stacked", (entry.id,), (2.0,))
    result = analysed(rows, [entry], teams=[team], sizes=[2])
    assert only(result["ranking"], way="remote")["pass_at_1"]["value"] == 1
    assert only(result["ranking"], way="stacked")["pass_at_1"]["value"] == 1
