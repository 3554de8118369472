"""Progress where nobody watches: lines of a log."""

from __future__ import annotations

import pytest

from gavel.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_named_steps_are_logged_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.steps("train") as tell:
        tell("step 1 of 40", 0.025)
        clock[0] += progress.LOG_SECONDS
        tell("step 10 of 40", 0.25)
        clock[0] += progress.LOG_SECONDS / 2
        tell("step 15 of 40", 0.375)
        clock[0] += progress.LOG_SECONDS / 2 + 5
        tell("step 20 of 40", 0.5)
    said = capsys.readouterr()
    assert said.err == "train: 25% step 10 of 40 (0:00:30)\ntrain: 50% step 20 of 40 (0:01:05)\n"
    assert said.out == ""


def test_counted_tasks_are_logged_and_resumed_ones_count(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.bar("generate", total=8, done=3) as bar:
        clock[0] += progress.LOG_SECONDS
        bar.advance()
        bar.advance()
    assert capsys.readouterr().err == "generate: 4 of 8 (0:00:30)\n"
