"""Runs every candidate's program against its tests and notes in the rows which pass."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Progress, Row, RowWriter
from gavel.toolkit.execute import JavaPrograms, PythonPrograms, Result
from gavel.toolkit.sandbox import MIB, Limits, NoSandbox, Sandbox

LANGUAGES = ("java", "python")


@dataclass
class LabelSummary:
    """What a run of ``label`` did; tasks labelled by an earlier run count as ``resumed``."""

    tasks: int = 0
    resumed: int = 0
    candidates: int = 0
    executed: int = 0
    feedback: Counter[str] = field(default_factory=Counter)


def label(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    jobs: int = 2,
    timeout: float = 10.0,
    memory_mb: int = 256,
    sandbox: bool = True,
    progress: Progress | None = None,
) -> LabelSummary:
    """Adds ``passed``, ``feedback`` and, where it failed, ``detail`` to every candidate of every row.

    Rows go to ``output`` in the order of ``input``; a run that was killed goes on where it stopped. A program that
    several candidates share runs once. Raises SandboxError where bubblewrap does not work, unless ``sandbox`` is false.
    """
    if jobs < 1 or timeout <= 0 or memory_mb < 32:
        raise ValueError(
            f"jobs {jobs}, timeout {timeout}, memory {memory_mb} MB: at least 1, above 0 and 32 are needed"
        )
    if Path(input).resolve() == Path(output).resolve():
        raise DatasetError(f"{input}: input and output are the same file; name another output")
    rows = datasets.read_rows(input)
    for row in rows:
        _check(row)
    languages = {datasets.language(row) for row in rows}
    summary = LabelSummary(tasks=len(rows))
    with ExitStack() as open_things:
        writer = open_things.enter_context(RowWriter(output))
        pending = list(writer.pending(rows))
        summary.resumed = len(rows) - len(pending)
        if progress:
            progress(summary.resumed, summary.tasks)
        if not pending:
            return summary
        runners = _runners(languages, sandbox)
        for runner in runners.values():
            open_things.callback(runner.close)
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="label")
        open_things.callback(pool.shutdown, cancel_futures=True)
        limits = Limits(seconds=timeout, memory=memory_mb * MIB)
        started = [_start(row, runners, limits, pool) for row in pending]
        for done, (row, results) in enumerate(zip(pending, started, strict=True), summary.resumed + 1):
            writer.append(_labelled(row, results, summary))
            if progress:
                progress(done, summary.tasks)
    return summary


def _check(row: Row) -> None:
    task = datasets.task_id(row)
    if datasets.language(row) not in LANGUAGES:
        raise DatasetError(f"task {task}: language {row.get('language')!r}; only {' and '.join(LANGUAGES)} can be run")
    if not isinstance(row.get("candidates"), list):
        raise DatasetError(f"task {task}: no candidates; generate them first")
    datasets.program(row, "")


def _runners(languages: set[str], sandboxed: bool) -> dict[str, JavaPrograms | PythonPrograms]:
    kind = Sandbox if sandboxed else NoSandbox
    kind().check()
    runners: dict[str, JavaPrograms | PythonPrograms] = {}
    if "java" in languages:
        runners["java"] = JavaPrograms(kind)
    if "python" in languages:
        runners["python"] = PythonPrograms(kind())
    return runners


def _start(
    row: Row, runners: dict[str, JavaPrograms | PythonPrograms], limits: Limits, pool: ThreadPoolExecutor
) -> dict[str, Future[Result]]:
    run = runners[datasets.language(row)].run
    codes = dict.fromkeys(candidate["code"] for candidate in row["candidates"])
    return {code: pool.submit(run, datasets.program(row, code), limits) for code in codes}


def _labelled(row: Row, results: dict[str, Future[Result]], summary: LabelSummary) -> Row:
    summary.executed += len(results)
    candidates = []
    for candidate in row["candidates"]:
        result = results[candidate["code"]].result()
        kept = {key: value for key, value in candidate.items() if key not in ("passed", "feedback", "detail")}
        kept.update(passed=result.passed, feedback=result.feedback)
        if result.detail:
            kept["detail"] = result.detail
        candidates.append(kept)
        summary.candidates += 1
        summary.feedback[result.feedback] += 1
    return {**row, "candidates": candidates}
