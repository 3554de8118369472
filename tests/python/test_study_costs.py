"""What a team costs beside a larger model, by arithmetic."""

from __future__ import annotations

import pytest
from study_rows import judge, only, random_rows, row

from gavel.toolkit.study.analysis import analyse
from gavel.toolkit.study.data import Cost, GeneratorRows, Prices, Spent, Study, Team, TestSet

SMALL = Cost(900, Spent(2.0, 0.5), Spent(10.0, 3.0))
JUDGES = [
    judge("adapter", base="writer", parameters=500, cost=Cost(6, Spent(1.0, 0.1), Spent(5.0, 0.5))),
    judge("tiny", base="tiny", parameters=100, cost=Cost(150, Spent(0.5, 0.05), Spent(2.0, 0.2))),
    judge("remote", "remote", base="paid", cost=Cost(0, Spent(1, 0), None, Spent(0, 300), Spent(0, 2))),
]
PRICES = Prices(3.6, {"paid": (0.4, 1.6), "large": (2.0, 8.0)})


@pytest.fixture(scope="module")
def result() -> dict:
    rows = random_rows(6, 5, ["adapter", "tiny", "remote"])
    greedy = [row(one["task_id"], "p") for one in rows]
    larger = [
        GeneratorRows("large", (), greedy, None, Cost(None, Spent(3, 0), None, Spent(200, 0), Spent(0, 90))),
        GeneratorRows("bigger", (), greedy[:4], 7000, Cost(8000, Spent(4.0, 6.0), Spent(50, 70))),
    ]
    test_set = TestSet("test", [GeneratorRows("writer", rows, greedy, 500, SMALL)], larger)
    team = Team("both", (JUDGES[0].id, JUDGES[1].id))
    return analyse(Study("study", [test_set], JUDGES, [team], prices=PRICES), sizes=[2, 5], draws=20)


def amounts(result: dict, name: str) -> list[float | None]:
    record = only(result["costs"], name=name)
    return [record[key] for key in ("candidates", "parameters", "memory_bytes", "seconds", "joules", "usd")]


def test_shared_bases_count_once(result: dict) -> None:
    assert amounts(result, "adapter") == pytest.approx([5, 500, 906, 2 + 2.5 + 1 + 0.5, 10 + 15 + 5 + 2.5, 6 / 1000])
    seconds = 2 + 2.5 + 1 + 0.5 + 0.5 + 0.25
    assert amounts(result, "both") == pytest.approx([5, 600, 1056, seconds, 35.5, seconds / 1000], rel=1e-5)
    assert amounts(result, "greedy") == pytest.approx([1, 500, 900, 2.5, 13, 2.5 / 1000])


def test_paid_by_token(result: dict) -> None:
    usd = (2 + 2.5) / 1000 + 5 * (300 * 0.4 + 2 * 1.6) / 1e6
    assert amounts(result, "remote") == [5, None, 900, 5.5, None, pytest.approx(usd)]
    assert amounts(result, "large") == [1, None, None, 3, None, pytest.approx((200 * 2 + 90 * 8) / 1e6)]


def test_larger_models(result: dict) -> None:
    assert amounts(result, "bigger") == pytest.approx([1, 7000, 8000, 10, 120, 0.01])
    record = only(result["larger"], model="bigger")
    assert (record["parameters"], record["tasks"], record["pass_at_1"]["value"]) == (7000, 4, 1)
    assert [one["kind"] for one in result["costs"]] == ["greedy", "team", "team", "team", "team", "larger", "larger"]
