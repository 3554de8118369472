"""What ways of choosing win, by arithmetic on rows small enough to count by hand."""

from __future__ import annotations

from math import comb
from typing import Any

import pytest
from study_rows import analysed, judge, only, random_rows, row

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study.data import Team
from gavel.toolkit.study.ways import COMPILES_FIRST, LOG_LIKELIHOOD, MAJORITY, SURFACE


def worth(result: dict[str, Any], n: int) -> dict[str, float]:
    """pass@1 by way."""
    return {
        one["way"]: one["pass_at_1"]["value"] for one in result["ranking"] if one["n"] == n and one["dataset"] == "all"
    }


ROWS = [
    row("a/1", "pff", {"j": [0.9, 0.2, 0.1]}, logprob=[-3, -2, -1]),  # the judge is right, the likelihood wrong
    row("a/2", "fpf", {"j": [0.7, 0.7, 0.1]}, logprob=[-2, -1, -3]),  # the judge's best two are tied
    row("a/3", "cpf", {"j": [0.9, 0.4, 0.5]}, logprob=[-1, -2, -3]),  # its best one does not compile
    row("a/4", "ccc", {"j": [0.9, 0.4, 0.5]}, logprob=[-1, -2, -3]),
]


def test_choices_by_hand() -> None:
    result = analysed(ROWS, [judge("j")], sizes=[3])
    assert worth(result, 3) == pytest.approx(
        {
            "random": (1 / 3 + 1 / 3 + 1 / 3 + 0) / 4,
            "oracle": 3 / 4,
            LOG_LIKELIHOOD: (0 + 1 + 0 + 0) / 4,
            MAJORITY: (1 / 3 + 1 / 3 + 1 / 3 + 0) / 4,  # all differ
            "j": (1 + 1 / 2 + 0 + 0) / 4,
            "compiles": (1 / 3 + 1 / 3 + 1 / 2 + 0) / 4,
            LOG_LIKELIHOOD + COMPILES_FIRST: (0 + 1 + 1 + 0) / 4,
            MAJORITY + COMPILES_FIRST: (1 / 3 + 1 / 3 + 1 / 2 + 0) / 4,
            "j" + COMPILES_FIRST: (1 + 1 / 2 + 0 + 0) / 4,
        },
        rel=1e-5,
    )
    record = only(result["ranking"], way="j")
    assert (record["n"], record["tasks"], record["repetitions"], record["sd"]) == (3, 4, 1, None)
    assert record["over_random"]["value"] == pytest.approx(3 / 8 - 1 / 4)
    assert record["relative_gain"]["value"] == pytest.approx((3 / 8) / (1 / 4) - 1)
    assert record["won"]["value"] == pytest.approx((3 / 8 - 1 / 4) / (3 / 4 - 1 / 4))
    assert only(result["ranking"], way="oracle")["won"]["value"] == 1
    assert only(result["ranking"], way="generator alone")["pass_at_1"]["value"] == pytest.approx(1 / 4)


def test_majority_is_of_programs_not_of_texts() -> None:
    code = ["return 1;", "return  1; // again", "return 2;", "return 3;"]
    result = analysed([row("a/1", "ppff", code=code)], sizes=[2, 4], repetitions=1)
    assert worth(result, 4)[MAJORITY] == 1
    tied = analysed([row("a/1", "ppff", code=["x", "x", "y", "y"])], sizes=[4])
    assert worth(tied, 4)[MAJORITY] == 0.5


def test_a_judge_that_did_not_speak_puts_a_candidate_last() -> None:
    rows = [row("a/1", "pf", {"j": [None, 0.01]}), row("a/2", "pf", {"j": [None, None]})]
    assert worth(analysed(rows, [judge("j")], sizes=[2]), 2)["j"] == (0 + 1 / 2) / 2


def test_compiling_comes_before_a_score_and_before_none() -> None:
    rows = [row("a/1", "cp", {"j": [0.9, None]})]
    assert worth(analysed(rows, [judge("j")], sizes=[2]), 2)["j" + COMPILES_FIRST] == 1


def test_teams_by_mean_and_by_weights() -> None:
    a, b = judge("a"), judge("b")
    rows = [
        row("t/1", "pff", {"a": [0.5, 0.6, 0.1], "b": [0.9, 0.7, 0.1]}, logprob=[-1, -1, -1]),  # means 0.7, 0.65, 0.1
        row("t/2", "pf", {"a": [0.5, 0.75], "b": [0.75, 0.5]}, logprob=[-1, -1]),  # means are tied
        row("t/3", "pf", {"a": [0.5, 0.5], "b": [0.5, 0.5]}, logprob=[-2, -1]),
    ]
    teams = [
        Team("mean", (a.id, b.id)),
        Team("first", (a.id, b.id), (1.0, 0.0)),
        Team("second", (a.id, b.id), (0.1, 1.0), log_likelihood=-2.0),
    ]
    # Two of three candidates: the first repetition has the first two.
    found = worth(analysed(rows, [a, b], teams=teams, sizes=[2], repetitions=1), 2)
    assert found["mean"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3, rel=1e-5)
    assert found["first"] == pytest.approx((0 + 0 + 1 / 2) / 3, rel=1e-5)
    assert found["second"] == 1


def test_a_candidate_without_likelihood_counts_as_average_in_a_team() -> None:
    rows = [row("a/1", "fpf", {"j": [0.5, 0.5, 0.5]}, logprob=[-3, -1, -2])]
    rows[0]["candidates"][1]["mean_logprob"] = None
    team = Team("t", (judge("j").id,), (1.0,), log_likelihood=1.0)
    result = analysed(rows, [judge("j")], teams=[team], sizes=[3])
    assert worth(result, 3)["t"] == 0  # -2 is above the average of -3 and -2
    assert worth(result, 3)[LOG_LIKELIHOOD] == 0


def test_probe_and_judge_are_put_together() -> None:
    rows = [row("a/1", "fp", {"probe": [0.6, 0.5], "trained": [0.4, 0.8], "asked": [1 - 1e-9, 1e-9]})]
    judges = [judge("probe", "probe"), judge("trained"), judge("asked", "zero-shot")]
    result = analysed(rows, judges, sizes=[2])
    assert worth(result, 2)["probe + trained"] == 1
    assert [one["way"] for one in result["ranking"] if one["family"] == "combination"] == [
        "probe + trained",
        "probe + trained" + COMPILES_FIRST,
    ]


def test_draws_from_a_pool_average_to_the_best_of_n() -> None:
    """Of a pool in order of score, the candidate at place i is the best of n drawn ones with probability
    C(pool - 1 - i, n - 1) / C(pool, n)."""
    rows = random_rows(6, 12, ["j"])
    result = analysed(rows, [judge("j")], sizes=[3], repetitions=4000, draws=10)
    expected = 0.0
    for one in rows:
        ordered = sorted(one["candidates"], key=lambda candidate: -candidate["verdicts"][0]["p_correct"])
        expected += sum(comb(11 - place, 2) / comb(12, 3) * each["passed"] for place, each in enumerate(ordered)) / 6
    record = only(result["ranking"], way="j", n=3)
    assert record["pass_at_1"]["value"] == pytest.approx(expected, abs=0.01)
    assert record["repetitions"] == 4000
    assert 0 < record["sd"] < 0.5
    assert any("mean of 4000 draws of 3" in note for note in result["method"])
    pass_at_3 = sum(
        1 - comb(12 - k, 3) / comb(12, 3) for k in (sum(c["passed"] for c in one["candidates"]) for one in rows)
    )
    assert only(result["ranking"], way="oracle", n=3)["pass_at_1"]["value"] == pytest.approx(pass_at_3 / 6, abs=0.01)


def test_numbers_of_candidates_that_the_pools_allow() -> None:
    rows = random_rows(4, 6, ["j"])
    result = analysed(rows, [judge("j")])
    assert {one["n"] for one in result["ranking"]} == {1, 2, 5}
    assert any("no choosing among 10, since a task has 6" in note for note in result["method"])
    assert {one["repetitions"] for one in result["ranking"] if one["n"] == 5} == {10}
    assert result["generators"][0]["pool"] == {"min": 6, "max": 6}


def test_harness_errors_are_left_out_and_counted() -> None:
    rows = [row("a/1", "hp", {"j": [0.9, 0.1]}), row("a/2", "fp", {"j": [0.9, 0.1]}), row("a/3", "hh")]
    result = analysed(rows, [judge("j")], sizes=[2])
    found = worth(result, 2)
    assert (found["j"], found["random"], found["oracle"]) == (1 / 2, (1 + 1 / 2) / 2, 1)
    (generator,) = result["generators"]
    assert (generator["tasks"], generator["candidates"], generator["left_out"]) == (2, 3, 1)
    assert any("1 tasks are left out" in note for note in result["method"])


def test_greedy_answers_count_where_they_are() -> None:
    rows = [row("a/1", "pf"), row("b/2", "ff"), row("b/3", "pp")]
    result = analysed(rows, greedy=[row("a/1", "p"), row("b/2", "f"), row("other", "p")], sizes=[2])
    record = only(result["ranking"], way="greedy", dataset="all")
    assert (record["tasks"], record["pass_at_1"]["value"], record["n"]) == (2, 1 / 2, 1)
    assert record["relative_gain"]["value"] == pytest.approx((1 / 2) / (1 / 4) - 1)  # over the same two tasks
    assert only(result["ranking"], way="greedy", dataset="b")["tasks"] == 1
    assert only(result["generators"], dataset="all")["greedy"]["tasks"] == 2


def test_surface_features_learn_a_look() -> None:
    long, short = "for (int i = 0; i < n; i++) { total += i; }\nreturn total;", "return 0;"
    train = [row(f"t/{number}", "pf", code=[long, short]) for number in range(20)]
    result = analysed([row("a/1", "fp", code=[short, long])], train_rows=train, sizes=[2])
    assert worth(result, 2)[SURFACE] == 1
    same = analysed([row("a/1", "fp")], train_rows=[row("t/1", "ff")], sizes=[2])
    assert SURFACE not in worth(same, 2)
    assert any("nothing is ranked by surface features" in note for note in same["method"])


def test_one_name_for_one_way() -> None:
    rows = [row("a/1", "pf", {"p": [0.1, 0.2], "j": [0.1, 0.2]})]
    with pytest.raises(ToolkitError, match=r"way of choosing.* 'p \+ j' is there twice"):
        analysed(rows, [judge("p", "probe"), judge("j")], teams=[Team("p + j", (judge("j").id,))], sizes=[2])
