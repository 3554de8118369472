"""What generate, judge, rank and solve share: rows in, the work on each, rows out, and a summary."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

import gavel
from gavel.cli import rows, show
from gavel.cli.errors import FAILED, CommandError, describe, tell
from gavel.cli.options import FileOutput, OptionalOutput, TasksInput
from gavel.cli.output import Output
from gavel.cli.progress import Bar, bar
from gavel.cli.team import title
from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row

# A task that fails so is reported, left out of the output, and done again by the next run. Any other error ends it.
OF_THE_TASK = (gavel.InvalidArgument, gavel.OutOfMemory, gavel.Cancelled, datasets.DatasetError, CommandError)


@dataclass
class Job:
    """One command's work."""

    command: str
    todo: list[Row]
    work: Callable[[Row, Bar], Row]
    asked: dict[str, Any]
    """Options and bundles: what a run that goes on with an output must have in common with the first."""
    judges: Sequence[gavel.JudgeInfo] = ()
    writes: bool = False
    """Whether a generator is at work, whose tokens count."""


@dataclass
class Summary:
    command: str
    output: str | None
    tasks: int
    resumed: int = 0
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    sampled_tokens: int = 0
    seconds: float = 0.0
    judges: list[dict[str, Any]] = field(default_factory=list)

    def count(self, row: Row, written: bool) -> None:
        self.done += 1
        if written:
            self.prompt_tokens += row["run"]["tokens"]["prompt"]
            self.sampled_tokens += row["run"]["tokens"]["sampled"]


def todo_of(given: TasksInput, output: Path | None) -> list[Row]:
    """The rows of TASKS.jsonl, or the one of --task."""
    if given.tasks is not None and given.task is not None:
        raise typer.BadParameter("give either TASKS.jsonl or --task, not both")
    if given.tasks is not None:
        if output is None:
            raise typer.BadParameter("a file of tasks needs --output for its rows")
        return rows.read(given.tasks, given.limit)
    if given.task is None:
        raise typer.BadParameter("give TASKS.jsonl, or one task with --task")
    return [rows.one_task(given.task, given.language)]


def perform(job: Job, writing: FileOutput | OptionalOutput, source: Path | None) -> None:
    """Does the job and prints what came of it; fails where a task did."""
    summary = Summary(job.command, None, len(job.todo), judges=[asdict(info) for info in job.judges])
    if writing.output is None:
        _in_memory(job, summary, writing.as_json)
    else:
        summary.output = str(writing.output)
        inputs = [] if source is None else [source]
        with Output(writing.output, job.asked, overwrite=writing.overwrite, inputs=inputs) as out:
            pending = [row for row in job.todo if datasets.task_id(row) not in out.finished]
            _work(job, pending, summary, out.append)
        _print(summary, job.judges, writing.as_json)
    if summary.failed:
        raise typer.Exit(FAILED)


def _work(job: Job, pending: list[Row], summary: Summary, done: Callable[[Row], None]) -> None:
    begun = time.perf_counter()
    summary.resumed = summary.tasks - len(pending)
    with bar(job.command, summary.tasks, summary.resumed) as progress:
        for row in pending:
            try:
                result = job.work(row, progress)
            except OF_THE_TASK as error:
                summary.failed[datasets.task_id(row)] = describe(error)
                tell(f"task {datasets.task_id(row)} failed: {describe(error)}")
            else:
                done(result)
                summary.count(result, job.writes)
            progress.advance()
    summary.seconds = time.perf_counter() - begun


def _in_memory(job: Job, summary: Summary, as_json: bool) -> None:
    finished: list[Row] = []
    _work(job, job.todo, summary, finished.append)
    for row in finished:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            show.task(Console(), row, job.judges)


def _print(summary: Summary, judges: Sequence[gavel.JudgeInfo], as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(summary), ensure_ascii=False))
        return
    lines = {
        "tasks": f"{summary.done} done now, {summary.resumed} before, {len(summary.failed)} failed",
        "rows": summary.output,
    }
    if summary.sampled_tokens:
        rate = summary.sampled_tokens / max(summary.seconds, 1e-9)
        lines["tokens"] = f"{summary.prompt_tokens} read, {summary.sampled_tokens} written, {rate:.0f} a second"
    for number, judge in enumerate(judges, 1):
        lines["judge" if len(judges) == 1 else f"judge {number}"] = title(judge)
    lines["time"] = f"{summary.seconds:.1f} s"
    show.facts(Console(), f"gavel {summary.command}", lines)


def generation_record(options: Any, prompting: str, stats: gavel.GenerateStats, model: gavel.Model) -> dict[str, Any]:
    """The record of one task's generation, for its row's ``run``."""
    return {
        "gavel": gavel.__version__,
        "options": {**options, "prompting": prompting},
        "digests": {"generator": model.digest, "tokenizer": model.tokenizer_digest},
        "seconds": {"prefill": stats.prefill_seconds, "decode": stats.decode_seconds, "sample": stats.sample_seconds},
        "tokens": {"prompt": stats.prompt_tokens, "sampled": stats.sampled_tokens},
        "stopped": stats.stopped,
    }


def judging_record(prompting: str, infos: Sequence[gavel.JudgeInfo], seconds: list[float]) -> dict[str, Any]:
    """The record of one task's judging."""
    return {
        "gavel": gavel.__version__,
        "options": {"prompting": prompting},
        "digests": {"judges": [asdict(info) for info in infos]},
        "seconds": {"judges": seconds},
    }


def ranking_record(prompting: str, ranking: gavel.Ranking, how: dict[str, Any]) -> dict[str, Any]:
    """The record of one task's ranking."""
    record = judging_record(prompting, ranking.judges, ranking.judge_seconds)
    return rows.merged(record, {"options": how, "reason": ranking.reason})
