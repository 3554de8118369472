"""Progress on stderr: a bar where that is a terminal, else a line now and then, for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import gavel

LOG_SECONDS = 30.0  # from one line of a log to the next; what is done before the first one says nothing


class Log:
    """Lines of a log: what is at work, and for how long."""

    def __init__(self, label: str) -> None:
        self._label, self._begun = label, time.monotonic()
        self._next = self._begun + LOG_SECONDS

    def say(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOG_SECONDS
            elapsed = timedelta(seconds=round(now - self._begun))
            print(f"{self._label}: {text} ({elapsed})", file=sys.stderr, flush=True)


class Bar:
    """Counts tasks, and tokens as they are written."""

    def __init__(self, progress: Progress | None, total: int, done: int, label: str) -> None:
        self._progress, self._log = progress, Log(label)
        self._total, self._done, self._tokens = total, done, 0
        self._task = progress.add_task(label, total=total, completed=done, tokens="") if progress else None

    @property
    def stream(self) -> Callable[[gavel.StreamEvent], None] | None:
        """A stream callback that counts tokens; none where nobody watches, since it costs a little."""
        return self._on_event if self._progress else None

    def _on_event(self, _event: gavel.StreamEvent) -> None:
        self._tokens += 1
        if self._tokens % 16 == 0 and self._progress and self._task is not None:
            self._progress.update(self._task, tokens=f"{self._tokens} tokens")

    def count(self, tokens: int) -> None:
        """Tokens that were written, where nobody streamed them."""
        self._tokens += tokens
        if self._progress and self._task is not None:
            self._progress.update(self._task, tokens=f"{self._tokens} tokens")

    def advance(self) -> None:
        self._done += 1
        if self._progress and self._task is not None:
            self._progress.advance(self._task)
        else:
            self._log.say(f"{self._done} of {self._total}")


@contextmanager
def bar(label: str, total: int, done: int = 0) -> Iterator[Bar]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(None, total, done, label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tokens]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, total, done, label)


@contextmanager
def steps(label: str) -> Iterator[Callable[[str, float], None]]:
    """A bar for work that names its steps and says which share of the whole is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        log = Log(label)
        yield lambda step, share: log.say(f"{share:.0%} {step}")
        return
    columns = (TextColumn(label), BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda step, share: progress.update(task, description=step, completed=share)
