"""Runs every candidate's program against its tests and notes in the rows which pass, and how the others fail."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.cluster import Cluster, ClusterError, LostRow
from gavel.toolkit.datasets import DatasetError, Row, RowWriter
from gavel.toolkit.labelling import Labelling, programs_of
from gavel.toolkit.sandbox import MIB, Limits

BESIDE_MB = 512  # what an interpreter or virtual machine may take beside the program's memory


@dataclass
class Pace:
    """How far a run of ``label`` has come. Labels are distinct programs: one that candidates share counts once."""

    tasks: int  # done, those of an earlier run included
    tasks_total: int
    labels: int = 0  # of this run
    labels_total: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Labels a second."""
        return self.labels / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float:
        """Seconds, if it goes on like this."""
        return (self.labels_total - self.labels) / self.rate if self.rate else float("inf")


@dataclass
class LabelSummary:
    """What the output holds; ``resumed``, ``executed`` and ``seconds`` say what of it this run did."""

    tasks: int = 0
    resumed: int = 0
    executed: int = 0
    seconds: float = 0.0
    candidates: int = 0
    passed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    references: Counter[str] = field(default_factory=Counter)  # statuses of the tasks' own solutions
    bad_references: dict[str, dict[str, Any]] = field(default_factory=dict)  # by task: status and feedback
    sound_candidates: int = 0  # of tasks whose reference, where there is one, passes
    sound_passed: int = 0
    flipped: list[str] = field(default_factory=list)  # tasks with a run that timed out, and did not when run alone
    nothing_to_run: int = 0  # tasks with neither candidates nor a solution of their own

    @property
    def labels_per_second(self) -> float:
        return self.executed / self.seconds if self.seconds else 0.0


def label(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    jobs: int = 2,
    timeout: float = 10.0,
    memory_mb: int = 256,
    sandbox: bool = True,
    progress: Callable[[Pace], None] | None = None,
    ray: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> LabelSummary:
    """Adds ``status``, ``passed`` and, where it failed, ``feedback`` to every candidate of every row.

    A task's own solution is run too, and ``reference`` says how it did; so a file of tasks without candidates is
    checked. A program that did not finish in time is run once more, with nothing beside it; that result counts, and
    where it differs the candidate is ``flipped``. A ``harness_error`` leaves ``passed`` unsaid.

    Rows go to ``output`` in the order of ``input``; a run that was killed goes on where it stopped. A program that
    several candidates share runs once. Raises SandboxError where bubblewrap does not work, unless ``sandbox`` is false.

    With ``ray``, the address of a Ray cluster (toolkit.cluster), each of its nodes runs ``jobs`` programs side by side,
    and rows go to ``output`` as they are done. ``tell`` gets a line about each worker that dies; raises ClusterError
    in the end where workers died time after time over a row, which is then left out.
    """
    if jobs < 1 or timeout <= 0 or memory_mb < 32:
        raise ValueError(
            f"jobs {jobs}, timeout {timeout}, memory {memory_mb} MB: at least 1, above 0 and 32 are needed"
        )
    if Path(input).resolve() == Path(output).resolve():
        raise DatasetError(f"{input}: input and output are the same file; name another output")
    rows = datasets.read_rows(input)
    programs = {datasets.task_id(row): len(programs_of(row)) for row in rows}
    if not any(programs.values()):
        raise DatasetError(f"{input}: no candidates, and no canonical_solution; generate candidates first")
    with ExitStack() as open_things:
        writer = open_things.enter_context(RowWriter(output))
        pending = list(writer.pending(rows))
        pace = Pace(len(rows) - len(pending), len(rows))
        pace.labels_total = sum(programs[datasets.task_id(row)] for row in pending)
        resumed = pace.tasks
        if progress:
            progress(pace)
        if pending:
            languages = frozenset(datasets.language(row) for row in pending)
            limits = Limits(timeout, memory_mb * MIB, resident=(memory_mb + BESIDE_MB) * MIB)
            recipe = Labelling(languages, jobs, limits, sandbox)
            labelled = open_things.enter_context(_on_cluster(recipe, ray, tell) if ray else _here(recipe))
            began = time.monotonic()
            for row in labelled(pending):
                writer.append(row)
                pace.tasks += 1
                pace.labels += programs[datasets.task_id(row)]
                pace.seconds = time.monotonic() - began
                if progress:
                    progress(pace)
    summary = summarize(datasets.read_rows(output))
    summary.resumed, summary.executed, summary.seconds = resumed, pace.labels, pace.seconds
    return summary


@contextmanager
def _here(recipe: Labelling) -> Iterator[Callable[[list[Row]], Iterator[Row]]]:
    def labelled(rows: list[Row]) -> Iterator[Row]:
        started = [labeller.start(row) for row in rows]
        return (finish() for finish in started)

    with recipe.open() as labeller:
        yield labelled


@contextmanager
def _on_cluster(
    recipe: Labelling, address: str, tell: Callable[[str], None]
) -> Iterator[Callable[[list[Row]], Iterator[Row]]]:
    def labelled(rows: list[Row]) -> Iterator[Row]:
        lost = {}
        for row, done in cluster.results(rows):
            try:
                yield done.result()
            except LostRow as error:
                lost[datasets.task_id(row)] = str(error)
        if lost:
            raise ClusterError(
                "not labelled: " + "; ".join(f"task {task}: {why}" for task, why in lost.items()) + ". The others are; "
                "the same command tries these again"
            )

    # A row more than programs at a time, so that none waits for the next row.
    with Cluster(address, recipe, rows_each=recipe.jobs + 1, tell=tell) as cluster:
        yield labelled


def summarize(rows: Iterable[Row]) -> LabelSummary:
    """Counts over labelled rows."""
    summary = LabelSummary()
    for row in rows:
        task, reference = datasets.task_id(row), row.get("reference")
        candidates = row.get("candidates") or []
        passed = sum(candidate.get("passed") is True for candidate in candidates)
        summary.tasks += 1
        summary.candidates += len(candidates)
        summary.passed += passed
        summary.statuses.update(candidate["status"] for candidate in candidates)
        summary.nothing_to_run += not candidates and not reference
        if any(each.get("flipped") for each in (*candidates, reference or {})):
            summary.flipped.append(task)
        if reference:
            summary.references[reference["status"]] += 1
        if reference and reference["status"] != "pass":
            summary.bad_references[task] = reference
        else:
            summary.sound_candidates += len(candidates)
            summary.sound_passed += passed
    return summary
