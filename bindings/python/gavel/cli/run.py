"""What generate, judge, rank and solve share: rows in, the work on each, rows out, and a summary."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
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
from gavel.cli.progress import bar
from gavel.cli.team import title
from gavel.cli.work import Crew, Recipe, crew
from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import judging_record, merged

# A task that fails so is reported, left out of the output, and done again by the next run. Any other error ends it.
OF_THE_TASK = (gavel.InvalidArgument, gavel.OutOfMemory, gavel.Cancelled, datasets.DatasetError, CommandError)


@dataclass
class Job:
    """One command's work."""

    command: str
    todo: list[Row]
    recipe: Recipe
    options: dict[str, Any]
    """What a run that goes on with an output must have in common with the first, beside the bundles."""
    ray: str | None = None
    """Address of a Ray cluster that works; else this process does."""
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
    with crew(job.recipe, job.ray) as workers:
        summary = _with(workers, job, writing, source)
    if summary.failed:
        raise typer.Exit(FAILED)


def _with(workers: Crew, job: Job, writing: FileOutput | OptionalOutput, source: Path | None) -> Summary:
    facts = workers.facts
    for remark in facts.remarks:
        tell(remark)
    summary = Summary(job.command, None, len(job.todo), judges=[asdict(info) for info in facts.judges])
    if writing.output is None:
        _in_memory(workers, job, summary, writing.as_json)
        return summary
    summary.output = str(writing.output)
    asked = {"command": job.command, "options": job.options | facts.options, "bundles": facts.bundles}
    inputs = [] if source is None else [source]
    with Output(writing.output, asked, overwrite=writing.overwrite, inputs=inputs) as out:
        pending = [row for row in job.todo if datasets.task_id(row) not in out.finished]
        _work(workers, job, pending, summary, out.append)
    _print(summary, facts.judges, writing.as_json)
    return summary


def _work(workers: Crew, job: Job, pending: list[Row], summary: Summary, done: Callable[[Row], None]) -> None:
    begun = time.perf_counter()
    summary.resumed = summary.tasks - len(pending)
    with bar(job.command, summary.tasks, summary.resumed) as progress:
        for row, future in workers.results(pending, progress):
            try:
                result = future.result()
            except OF_THE_TASK as error:
                summary.failed[datasets.task_id(row)] = describe(error)
                tell(f"task {datasets.task_id(row)} failed: {describe(error)}")
            else:
                done(result)
                summary.count(result, job.writes)
                if job.ray and job.writes:
                    progress.count(result["run"]["tokens"]["sampled"])
                for remark in _truncated(result, workers.facts.judges):
                    tell(remark)
            progress.advance()
    summary.seconds = time.perf_counter() - begun


def _truncated(row: Row, judges: Sequence[gavel.JudgeInfo]) -> Iterator[str]:
    """What judges of this run had no room for."""
    said = [each for candidate in row["candidates"] for each in candidate.get("verdicts") or []]
    for info in judges:
        by_this = [each for each in said if (each["judge"], each.get("kind")) == (info.name, info.kind)]
        if cut := max((each["truncated"] for each in by_this), default=0):
            yield f"task {datasets.task_id(row)}: {info.name} had no room for up to {cut} tokens of task and candidate"


def _in_memory(workers: Crew, job: Job, summary: Summary, as_json: bool) -> None:
    finished: list[Row] = []
    _work(workers, job, job.todo, summary, finished.append)
    for row in finished:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            show.task(Console(), row, workers.facts.judges)


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


def ranking_record(prompting: str, ranking: gavel.Ranking, how: dict[str, Any]) -> dict[str, Any]:
    """The record of one task's ranking."""
    record = judging_record(prompting, ranking.judges, ranking.judge_seconds)
    return merged(record, {"options": how, "reason": ranking.reason})
