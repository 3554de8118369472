"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import gavel


class Bar:
    """Counts tasks, and tokens as they are written."""

    def __init__(self, progress: Progress | None, total: int, done: int, label: str) -> None:
        self._progress = progress
        self._tokens = 0
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
        if self._progress and self._task is not None:
            self._progress.advance(self._task)


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
    columns = (TextColumn(label), BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda step, share: progress.update(task, description=step, completed=share)
