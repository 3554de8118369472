"""Paired tests beside scipy's, and which ways are compared."""

from __future__ import annotations

from itertools import pairwise

import pytest
from scipy.stats import binomtest, false_discovery_control
from study_rows import analysed, judge, only, random_rows, row

from gavel.toolkit.study.data import GeneratorRows
from gavel.toolkit.study.statistics import Paired, adjusted, paired


@pytest.mark.parametrize(("first", "second"), [(12, 3), (3, 12), (5, 5), (1, 0), (0, 7), (40, 22)])
def test_exact_mcnemar_and_matched_odds_ratio(first: int, second: int) -> None:
    found = Paired(20, first, second, 30)
    test = binomtest(first, first + second)
    assert found.p == pytest.approx(test.pvalue)
    interval = test.proportion_ci(method="exact")
    assert found.odds_ratio["value"] == (pytest.approx(first / second) if second else None)
    assert found.odds_ratio["low"] == pytest.approx(interval.low / (1 - interval.low))
    assert found.odds_ratio["high"] == (pytest.approx(interval.high / (1 - interval.high)) if second else None)


def test_ways_that_never_differ() -> None:
    found = Paired(4, 0, 0, 6)
    assert found.p == 1
    assert found.odds_ratio == {"value": None, "low": None, "high": None}


def test_adjusted_as_scipy_does() -> None:
    p = [0.001, 0.04, 0.03, 0.5, 0.2, 0.04]
    assert adjusted(p) == pytest.approx(false_discovery_control(p, method="bh"))
    assert adjusted([]) == []


def test_pairs_are_the_tasks_that_both_have() -> None:
    table, difference = paired(
        {"a": True, "b": True, "c": False, "d": True}, {"a": True, "b": False, "c": True, "x": True}
    )
    assert (table, difference) == (Paired(1, 1, 1, 0), [0, 1, -1])


ROWS = [
    row("a/1", "fp", {"trained": [0.2, 0.9], "asked": [0.9, 0.2]}, logprob=[-1, -2]),
    row("a/2", "fp", {"trained": [0.2, 0.9], "asked": [0.5, 0.5]}, logprob=[-1, -2]),
    row("a/3", "pf", {"trained": [0.9, 0.2], "asked": [0.9, 0.2]}, logprob=[-1, -2]),
    row("a/4", "pf", {"trained": [0.2, 0.9], "asked": [0.9, 0.2]}, logprob=[-1, -2]),
]
JUDGES = [judge("asked", "zero-shot", base="m"), judge("trained", base="m"), judge("another", base="n")]


def test_comparisons_by_hand() -> None:
    larger = [GeneratorRows("large", greedy=[row("a/1", "p"), row("a/2", "f"), row("a/3", "p"), row("z/1", "p")])]
    greedy = [row(f"a/{number}", "p" if number == 1 else "f") for number in (1, 2, 3, 4)]
    found = analysed(ROWS, JUDGES, sizes=[2], greedy=greedy, larger=larger)["comparisons"]

    def table(question: str, first: str = "trained") -> tuple[object, ...]:
        one = only(found, question=question, first=first)
        return one["second"], one["both"], one["first_only"], one["second_only"], one["neither"]

    # trained is right on 1, 2, 3; asked on 3 and 4 (tied on 2, where the first candidate fails); so is the first one.
    assert table("trained-zero-shot") == ("asked", 1, 2, 1, 0)
    assert table("generator") == ("generator alone", 1, 2, 1, 0)
    assert table("log-likelihood") == ("log-likelihood", 1, 2, 1, 0)
    assert table("log-likelihood", "trained, compiles first")[0] == "log-likelihood, compiles first"
    assert table("greedy") == ("greedy", 1, 2, 0, 1)
    assert table("larger") == ("large", 2, 1, 0, 0)
    one = only(found, question="larger", first="trained")
    assert (one["tasks"], one["n"], one["difference"]["value"]) == (3, 2, pytest.approx(1 / 3, rel=1e-5))
    assert not [one for one in found if one["question"] == "trained-zero-shot" and one["first"] == "another"]
    assert not [one for one in found if one["first"] in ("random", "oracle")]


def test_p_values_are_adjusted_within_a_question() -> None:
    names = ["asked", "one", "two", "three"]
    judges = [judge("asked", "zero-shot", base="m"), *(judge(name, base="m") for name in names[1:])]
    result = analysed(random_rows(40, 5, names), judges, sizes=[5])
    assert len({one["question"] for one in result["comparisons"]}) == 3
    for question in ("trained-zero-shot", "generator", "log-likelihood"):
        records = [one for one in result["comparisons"] if one["question"] == question]
        expected = false_discovery_control([one["p"] for one in records], method="bh")
        assert [one["p_adjusted"] for one in records] == pytest.approx(expected, rel=1e-4)
        assert only(result["questions"], id=question)["tests"] == len(records)
    better = [only(result["comparisons"], question="trained-zero-shot", first=name)["first_only"] for name in names[1:]]
    assert all(low <= high for low, high in pairwise(better))  # the later, the more they know
