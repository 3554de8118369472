"""A worker that labels rows: its recipe, and what it does to one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.label_pool import Label, Pool
from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import Limits

LABELS = ("status", "passed", "feedback", "flipped")  # what labelling says of a candidate


@dataclass(frozen=True)
class Labelling:
    """How to open a labeller (toolkit.work.Recipe)."""

    languages: frozenset[str]
    jobs: int
    limits: Limits
    sandboxed: bool

    @contextmanager
    def open(self) -> Iterator[Labeller]:
        with Pool(self.languages, self.jobs, self.limits, self.sandboxed) as pool:
            yield Labeller(pool)


class Labeller:
    """Labels rows with programs run side by side; for any number of threads."""

    facts = None

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def start(self, row: Row) -> Callable[[], Row]:
        """Has a row's programs run; the function waits for them and gives the row with their labels."""
        labels = self._pool.start(datasets.language(row), programs_of(row))
        return lambda: _labelled(row, labels)

    def work(self, row: Row) -> Row:
        return self.start(row)()


def programs_of(row: Row) -> dict[str, Program]:
    """What is to be run for a row, by code: its candidates and its own solution."""
    codes = dict.fromkeys(candidate["code"] for candidate in row.get("candidates") or [])
    if row.get("canonical_solution"):
        codes[row["canonical_solution"]] = None
    return {code: datasets.program(row, code) for code in codes}


def _labelled(row: Row, labels: dict[str, Future[Label]]) -> Row:
    row = dict(row)
    if row.get("canonical_solution"):
        row["reference"] = labels[row["canonical_solution"]].result().fields()
    if row.get("candidates"):
        row["candidates"] = [
            {key: value for key, value in candidate.items() if key not in LABELS}
            | labels[candidate["code"]].result().fields()
            for candidate in row["candidates"]
        ]
    return row
