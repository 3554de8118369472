"""A command's worker: opened models, and the work on one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import gavel
from gavel.cli.errors import CommandError, tell
from gavel.cli.progress import Bar
from gavel.toolkit.cluster import Cluster
from gavel.toolkit.datasets import Row

Stream = Callable[[gavel.StreamEvent], None]


@dataclass(frozen=True)
class Facts:
    """What a run must know of the models that worked for it."""

    bundles: dict[str, Any]
    """Digests: what a run that goes on with an output must have in common with the first."""
    judges: list[gavel.JudgeInfo] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Lines for the user."""
    options: dict[str, Any] = field(default_factory=dict)
    """What a team file settles, where the command line does not."""


class Work(Protocol):
    def __call__(self, row: Row, stream: Stream | None = None) -> Row: ...


@dataclass(frozen=True)
class Worker:
    """One row after the other, in the thread that opened it."""

    facts: Facts
    work: Work


class Recipe(Protocol):
    """What opens a command's worker (toolkit.work.Recipe): a frozen dataclass of the command's options."""

    device: str

    def open(self) -> AbstractContextManager[Worker]: ...


@dataclass(frozen=True)
class Crew:
    """Who does a run's work."""

    facts: Facts
    results: Callable[[list[Row], Bar], Iterator[tuple[Row, Future[Row]]]]
    """Each row with what came of it, as they are done."""


@contextmanager
def crew(recipe: Recipe, ray: str | None) -> Iterator[Crew]:
    """One worker in this process, or those of a Ray cluster."""
    if ray is None:
        with recipe.open() as worker:
            yield Crew(worker.facts, lambda rows, bar: _here(worker, rows, bar))
        return
    kind, colon, _ = recipe.device.partition(":")
    if colon:
        raise CommandError(f"--device {recipe.device} beside --ray; say {kind}, since Ray gives each worker its own")
    with Cluster(ray, recipe, gpu=kind == "cuda", tell=tell) as cluster:
        yield Crew(cluster.facts, lambda rows, _bar: cluster.results(rows))


def _here(worker: Worker, rows: list[Row], bar: Bar) -> Iterator[tuple[Row, Future[Row]]]:
    for row in rows:
        done: Future[Row] = Future()
        try:
            done.set_result(worker.work(row, bar.stream))
        except Exception as error:
            done.set_exception(error)
        yield row, done
