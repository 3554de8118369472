"""A probe first, the judge where it is unsure: counted by hand, and its two ends."""

from __future__ import annotations

from typing import Any

import pytest
from study_rows import analysed, judge, only, random_rows, row

JUDGES = [judge("probe", "probe", base="writer"), judge("trained", base="other")]
# Log-odds of the probe: 0.8 is 1.386, 0.7 is 0.847, 0.5 is 0.
ROWS = [
    row("a/1", "fpf", {"probe": [0.8, 0.7, 0.5], "trained": [0.1, 0.9, 0.5]}),  # unsure from 0.539 on
    row("a/2", "pff", {"probe": [0.8, 0.5, 0.5], "trained": [0.1, 0.9, 0.8]}),  # unsure from 1.386 on
]


def points(result: dict[str, Any], **where: Any) -> list[dict[str, Any]]:
    return only(result["cascade"], **({"compiles_first": False} | where))["points"]


def test_by_hand() -> None:
    found = points(analysed(ROWS, JUDGES, sizes=[3]))
    assert (found[0]["margin"], found[-1]["margin"]) == (0, None)
    assert [found[0][key] for key in ("forward_passes", "tasks_asked")] == [0, 0]
    assert found[0]["pass_at_1"]["value"] == 1 / 2
    # Between: the judge reads two programs of the first task and turns the choice; the second task's stands.
    between = next(one for one in found if one["margin"] and 0.54 < one["margin"] < 1.38)
    assert (between["forward_passes"], between["tasks_asked"], between["pass_at_1"]["value"]) == (2 / 2, 1 / 2, 1)
    # Means of both: 0.45, 0.8, 0.5; and 0.45, 0.7, 0.65.
    last = found[-1]
    assert (last["forward_passes"], last["tasks_asked"], last["pass_at_1"]["value"]) == (3, 1, 1 / 2)


def test_same_programs_are_read_once_and_are_no_rivals() -> None:
    same = [row("a/1", "ffp", {"probe": [0.8, 0.8, 0.5], "trained": [0.1, 0.1, 0.5]}, code=["x", "x", "y"])]
    found = points(analysed(same, JUDGES, sizes=[3]))
    assert found[-1]["forward_passes"] == 2
    assert all(one["tasks_asked"] == 0 for one in found if one["margin"] is not None and one["margin"] <= 1.38)


def test_another_models_probe_reads_each_program_itself() -> None:
    judges = [judge("probe", "probe", base="elsewhere"), JUDGES[1]]
    found = points(analysed(ROWS, judges, sizes=[3]))
    assert (found[0]["forward_passes"], found[-1]["forward_passes"]) == (3, 6)


def test_what_does_not_compile_is_not_read() -> None:
    rows = [row("a/1", "cfp", {"probe": [0.8, 0.7, 0.5], "trained": [0.1, 0.2, 0.9]})]
    found = points(analysed(rows, JUDGES, sizes=[3]), compiles_first=True)
    assert (found[-1]["forward_passes"], found[-1]["pass_at_1"]["value"]) == (2, 1)


def test_ends_are_the_probe_alone_and_both_on_all() -> None:
    result = analysed(random_rows(8, 6, ["asked", "probe", "trained"]), JUDGES, sizes=[2, 4])
    for suffix, compiles_first in (("", False), (", compiles first", True)):
        record = only(result["cascade"], compiles_first=compiles_first)
        ends = [only(result["ranking"], way=way + suffix, n=4)["pass_at_1"] for way in ("probe", "probe + trained")]
        assert [record["points"][0]["pass_at_1"], record["points"][-1]["pass_at_1"]] == ends
        passes = [one["forward_passes"] for one in record["points"]]
        assert passes == sorted(passes)
        assert (record["n"], record["tasks"], passes[-1] <= 4) == (4, 8, True)


def test_no_cascade_without_a_probe() -> None:
    assert analysed(ROWS, JUDGES[1:], sizes=[3])["cascade"] == []


def test_probe_that_is_silent_on_some() -> None:
    rows = [row("a/1", "fp", {"probe": [0.8, None], "trained": [0.1, 0.9]})]
    found = points(analysed(rows, JUDGES, sizes=[2]))
    assert [one["margin"] for one in found] == [0, None]
    assert found[-1]["pass_at_1"]["value"] == pytest.approx(0)  # who has not both verdicts comes last
