"""The example tasks are sound: every canonical solution passes its tests, and a plausible wrong one does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gavel.toolkit import datasets
from gavel.toolkit.execute import JavaPrograms, PythonPrograms
from gavel.toolkit.sandbox import Limits, NoSandbox, Sandbox, SandboxError

ROOT = Path(__file__).parents[2]
ROWS = [row for file in sorted((ROOT / "examples/tasks").glob("*.jsonl")) for row in datasets.read_rows(file)]
WRONG = {row["task_id"]: row["code"] for row in datasets.read_rows(ROOT / "tests/data/wrong_solutions.jsonl")}
FIELDS = {"task_id", "language", "prompt", "entry_point", "test", "description", "canonical_solution"}

Programs = dict[str, JavaPrograms | PythonPrograms]


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Runs programs in bubblewrap where that works; these are our own, so they may run where it does not."""
    kind = Sandbox
    try:
        kind().check()
    except SandboxError:
        kind = NoSandbox
    running: Programs = {"java": JavaPrograms(kind), "python": PythonPrograms(kind())}
    yield running
    for one in running.values():
        one.close()


def ids(row: datasets.Row) -> str:
    return f"{row['task_id']}-{row['entry_point']}"


def test_two_dozen_tasks() -> None:
    assert [row["language"] for row in ROWS] == ["java"] * 12 + ["python"] * 12
    assert len({row["task_id"] for row in ROWS}) == len({row["entry_point"] for row in ROWS}) == 24
    assert WRONG.keys() == {row["task_id"] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_fields(row: datasets.Row) -> None:
    assert row.keys() == FIELDS
    assert row["entry_point"] in row["prompt"]
    assert row["prompt"].endswith("{\n" if row["language"] == "java" else '"""\n')
    # Every line of the description stands in the prompt.
    assert all(line in row["prompt"] for line in row["description"].splitlines())
    assert len(re.findall(r"candidate\(|\n        check\(", row["test"])) >= 4


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_canonical_solution_passes(programs: Programs, row: datasets.Row) -> None:
    result = programs[row["language"]].run(datasets.program(row, row["canonical_solution"]), Limits())
    assert result.passed, result


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_wrong_solution_fails(programs: Programs, row: datasets.Row) -> None:
    """It compiles and runs, so that it is the task's tests that refuse it."""
    result = programs[row["language"]].run(datasets.program(row, WRONG[row["task_id"]]), Limits())
    assert result.status in ("wrong", "exception"), result
