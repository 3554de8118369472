"""The summary of tests/run tells what happened: no test that was skipped, lost or broken counts as passed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUMMARY = Path(__file__).parents[1] / "summary.py"


def summary(folder: Path, status: int = 0, **reports: str) -> tuple[int, list[str]]:
    for name, cases in reports.items():
        (folder / f"{name}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    command = [sys.executable, str(SUMMARY), str(folder), *(f"{name}=3={status}" for name in reports or {"lost": ""})]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.splitlines()


def catch(text: str, extra: str = "") -> str:
    return f'<testcase name="core">{extra}<system-out>Filters: [core]\n{text}\n</system-out></testcase>'


PASSED, FAILED = '<testcase classname="a" name="x"/>', '<testcase classname="a" name="y"><failure/></testcase>'
SKIPPED = '<testcase classname="a" name="z"><skipped message="no shared data"/></testcase>'


def test_counts(tmp_path: Path) -> None:
    status, lines = summary(
        tmp_path, python=PASSED + PASSED + SKIPPED, cpp=catch("All tests passed (9 assertions in 4 test cases)")
    )
    assert status == 0 and lines[-1] == "6 passed, 0 failed"
    assert "  python: a::z: no shared data" in lines


def test_failure(tmp_path: Path) -> None:
    status, lines = summary(tmp_path, status=1, python=PASSED + FAILED)
    assert status == 1 and lines[-1] == "1 passed, 1 failed"
    assert "  python: a::y" in lines


@pytest.mark.parametrize(
    ("said", "passed", "failed", "skipped"),
    [
        ("test cases: 5 | 3 passed | 2 failed", 3, 2, 0),
        ("test cases: 5 | 3 passed | 1 failed | 1 failed as expected", 4, 1, 0),
        ("test cases: 5 | 4 passed | 1 skipped", 4, 0, 1),
        ("SKIPPED: parity: no bundle\nAll tests passed (9 assertions in 4 test cases)", 3, 0, 1),
        ("All tests passed (1 assertion in 1 test case)", 1, 0, 0),
        ("No test cases matched '[core]'", 0, 1, 0),
        ("No tests ran", 0, 1, 0),
    ],
)
def test_catch(tmp_path: Path, said: str, passed: int, failed: int, skipped: int) -> None:
    _, lines = summary(tmp_path, cpp=catch(said, "<failure/>" if failed else ""))
    assert lines[1].split() == ["cpp", str(passed), str(failed), str(skipped), "3"]
    assert lines[-1] == f"{passed} passed, {failed} failed"


def test_crash_after_the_tests(tmp_path: Path) -> None:
    status, lines = summary(
        tmp_path, status=8, cpp=catch("All tests passed (1 assertion in 1 test case)", "<failure/>")
    )
    assert status == 1 and lines[-1] == "1 passed, 1 failed"


def test_part_without_tests(tmp_path: Path) -> None:
    assert summary(tmp_path, python="")[1][-1] == "0 passed, 1 failed"


def test_part_without_report(tmp_path: Path) -> None:
    status, lines = summary(tmp_path)
    assert status == 1 and lines[-1] == "0 passed, 1 failed"


def test_status_counts_where_no_test_failed(tmp_path: Path) -> None:
    status, lines = summary(tmp_path, status=66, tsan=PASSED)
    assert status == 1 and lines[-1] == "1 passed, 1 failed"
