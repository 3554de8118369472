"""MBJP's own solutions pass where they are right, and with a bug put in they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bugs import with_bug
from programs import needs_java, needs_sandbox

from gavel.toolkit import datasets
from gavel.toolkit.label import label

FILE = Path(__file__).parents[2].parent / "shared" / "data" / "mbjp_release_v1.2.jsonl"
# Solutions that leave with System.exit(0) on the test's own arguments, and some that are no Java: they return an int
# where the method promises a Double, or compute with a Number.
LEAVE = {106, 325, 553, 579, 835, 871}
NO_JAVA = {180, 198, 214, 300, 397, 432, 519, 535, 622, 738, 904}


@needs_sandbox
@needs_java
@pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE}")
def test_solutions_and_bugs(tmp_path: Path) -> None:
    """Every ninth task, and those whose solution is wrong."""
    rows = [row for row in datasets.read_rows(FILE) if row.get("canonical_solution")]
    wrong = {f"MBJP/{number}" for number in LEAVE | NO_JAVA}
    rows = [row for at, row in enumerate(rows) if at % 9 == 0 or row["task_id"] in wrong]
    for number, row in enumerate(rows):
        bug = with_bug(row["canonical_solution"], number)
        row["candidates"] = [{"code": bug}] if bug else []
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = label(tasks, tmp_path / "labelled.jsonl")
    assert set(summary.bad_references) == wrong
    assert summary.references == {
        "pass": len(rows) - len(wrong),
        "exception": len(LEAVE),
        "compile_error": len(NO_JAVA),
    }
    # Some changes change nothing that three tests see.
    assert summary.candidates > 80
    assert summary.passed < 0.25 * summary.candidates
    assert not {"harness_error", "out_of_memory"} & set(summary.statuses)
