"""Labelling: rows in, rows with their labels out; resuming, running again, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import needs_sandbox

from gavel.toolkit import datasets
from gavel.toolkit import sandbox as sandboxes
from gavel.toolkit.datasets import DatasetError
from gavel.toolkit.execute import PythonPrograms, Result
from gavel.toolkit.label import label
from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import Limits, SandboxError


def rows(count: int) -> list[datasets.Row]:
    codes = ["return x * x", "return x", "return x * x", "return ("]
    return [
        {
            "task_id": f"t/{number}",
            "language": "python",
            "prompt": "def square(x):\n    ",
            "entry_point": "square",
            "test": "def check(candidate):\n    assert candidate(3) == 9\n",
            "kept": {"as": "it is"},
            "candidates": [{"code": code, "index": index} for index, code in enumerate(codes)],
        }
        for number in range(count)
    ]


def write(path: Path, content: list[datasets.Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


@needs_sandbox
def test_rows_get_their_labels_and_duplicates_run_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = write(tmp_path / "in.jsonl", rows(3))
    summary = label(source, tmp_path / "out.jsonl", progress=lambda pace: seen.append((pace.tasks, pace.labels)))
    assert (summary.tasks, summary.candidates, summary.executed) == (3, 12, 9)
    assert summary.statuses == {"pass": 6, "wrong": 3, "compile_error": 3}
    assert seen == [(0, 0), (1, 3), (2, 6), (3, 9)]
    for before, after in zip(rows(3), datasets.read_rows(tmp_path / "out.jsonl"), strict=True):
        assert [candidate["passed"] for candidate in after["candidates"]] == [True, False, True, False]
        assert [candidate["index"] for candidate in after["candidates"]] == [0, 1, 2, 3]
        assert {**after, "candidates": None} == {**before, "candidates": None}


@needs_sandbox
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl", rows(12)), tmp_path / "out.jsonl"
    script = f"from gavel.toolkit.label import label; label({str(source)!r}, {str(output)!r}, jobs=1)"
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | path)
    deadline = time.monotonic() + 60
    while (not output.exists() or output.read_bytes().count(b"\n") < 3) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with output.open("ab") as partial:
        partial.write(b'{"task_id": "t/')
    summary = label(source, output)
    assert 3 <= summary.resumed < 12
    assert [row["task_id"] for row in datasets.read_rows(output)] == [f"t/{number}" for number in range(12)]
    assert label(source, output).resumed == 12


@needs_sandbox
def test_references_are_run_and_both_denominators_given(tmp_path: Path) -> None:
    good, bad, alone = rows(3)
    good["canonical_solution"], bad["canonical_solution"] = "return x * x", "return 7"
    del alone["candidates"]
    summary = label(write(tmp_path / "in.jsonl", [good, bad, alone]), tmp_path / "out.jsonl")
    assert (summary.candidates, summary.passed) == (8, 4)
    assert (summary.sound_candidates, summary.sound_passed) == (4, 2)
    assert summary.references == {"pass": 1, "wrong": 1}
    assert summary.bad_references["t/1"]["feedback"]["kind"] == "AssertionError"
    assert summary.nothing_to_run == 1
    assert datasets.read_rows(tmp_path / "out.jsonl")[0]["reference"] == {"status": "pass", "passed": True}


def test_a_timeout_is_run_once_more_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run counts; where it differs, that is noted."""
    runs: dict[str, int] = {}
    beside: list[str] = []

    class Slow(PythonPrograms):
        def run(self, program: Program, limits: Limits) -> Result:
            code = program.source
            runs[code] = runs.get(code, 0) + 1
            beside.append(code)
            time.sleep(0.05)
            others = len(beside) - 1
            beside.remove(code)
            if "return x * x" in code:
                return Result("pass" if runs[code] > 1 and not others else "timeout")
            return Result("timeout" if "return (" in code else "wrong")

    monkeypatch.setattr("gavel.toolkit.label_pool.PythonPrograms", Slow)
    label(write(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl", jobs=3, sandbox=False)
    labelled = datasets.read_rows(tmp_path / "out.jsonl")[0]["candidates"]
    assert [candidate["status"] for candidate in labelled] == ["pass", "wrong", "pass", "timeout"]
    assert [candidate.get("flipped", False) for candidate in labelled] == [True, False, True, False]
    assert sorted(runs.values()) == [1, 2, 2]


def test_a_harness_error_says_nothing_of_the_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(PythonPrograms):
        def run(self, program: Program, limits: Limits) -> Result:
            return Result("harness_error" if "return (" in program.source else "wrong")

    monkeypatch.setattr("gavel.toolkit.label_pool.PythonPrograms", Broken)
    label(write(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl", sandbox=False)
    assert datasets.outcomes(datasets.read_rows(tmp_path / "out.jsonl")[0]) == [False, False, False, None]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"language": "cobol"}, "language 'cobol'; only java and python"),
        ({"test": ""}, "no test"),
        ({"candidates": None}, "no candidates"),
    ],
)
def test_rows_that_cannot_be_run_are_refused_before_anything_runs(tmp_path: Path, change: dict, said: str) -> None:
    source = write(tmp_path / "in.jsonl", [{**row, **change} for row in rows(2)])
    with pytest.raises(DatasetError, match=said):
        label(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_input_is_not_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", rows(1))
    with pytest.raises(DatasetError, match="same file"):
        label(source, source)
    with pytest.raises(ValueError, match="timeout 0"):
        label(source, tmp_path / "out.jsonl", timeout=0)


def test_without_bubblewrap_it_refuses_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(sandboxes.shutil, "which", lambda tool: None if tool == "bwrap" else which(tool))
    source = write(tmp_path / "in.jsonl", rows(1))
    with pytest.raises(SandboxError, match="apt-get install bubblewrap, or pass --no-sandbox"):
        label(source, tmp_path / "out.jsonl")
    summary = label(source, tmp_path / "out.jsonl", sandbox=False)
    assert summary.statuses == {"pass": 2, "wrong": 1, "compile_error": 1}
