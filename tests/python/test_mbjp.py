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
WRONG_IN_THE_FILE = {"MBJP/106"}  # its solution leaves with System.exit(0) on the test's own arguments


@needs_sandbox
@needs_java
@pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE}")
def test_solutions_and_bugs(tmp_path: Path) -> None:
    """Every ninth task, and the one whose solution leaves before its test ends."""
    rows = [row for row in datasets.read_rows(FILE) if row.get("canonical_solution")]
    rows = [row for at, row in enumerate(rows) if at % 9 == 0 or row["task_id"] in WRONG_IN_THE_FILE]
    for number, row in enumerate(rows):
        bug = with_bug(row["canonical_solution"], number)
        row["candidates"] = [{"code": bug}] if bug else []
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = label(tasks, tmp_path / "labelled.jsonl")
    assert set(summary.bad_references) == WRONG_IN_THE_FILE
    # Some changes change nothing that three tests see.
    assert summary.candidates > 80
    assert summary.passed < 0.2 * summary.candidates
    assert not {"harness_error", "out_of_memory"} & set(summary.statuses)
