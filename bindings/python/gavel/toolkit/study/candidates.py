"""The stages that make candidates: tasks are split, candidates written or taken from files, and labelled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gavel
from gavel.generator import GenerateOptions
from gavel.toolkit import datasets, formats, splits
from gavel.toolkit.datasets import DatasetError, Row, RowWriter
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.label import label
from gavel.toolkit.rows import candidate_row, generated, task_of
from gavel.toolkit.study.energy import metered
from gavel.toolkit.study.facts import facts_of, write_facts
from gavel.toolkit.study.remote import RemoteGenerator
from gavel.toolkit.study.stages import Work
from gavel.toolkit.study.study_file import Generator, Labelling, Tasks

ROWS = "rows.jsonl"
NAMED = 5  # tasks that a message names


def split(tasks: Tasks, work: Work) -> None:
    """``train.jsonl``, ``validation.jsonl``, ``test.jsonl`` and ``report.json``."""
    records = formats.read_records(work.inputs.values())
    made = splits.split(records, splits.PAPER | tasks.test, tasks.validation, tasks.seed)
    wanted = [part for part in splits.SPLITS if part != "validation" or tasks.validation > 0]
    if empty := [part for part in wanted if not made.rows[part]]:
        raise ToolkitError(
            f"the split of {len(records)} tasks leaves none for {', '.join(empty)}; change `test` and `validation` of "
            "[tasks]; a validation of 0 does without"
        )
    made.write(work.folder)
    if made.dropped:
        work.notes.append(f"{len(made.dropped)} tasks are in no part; report.json of the split says why")


def generate(generator: Generator, options: GenerateOptions, device: str, work: Work) -> None:
    """Candidates of every task, by a bundle."""
    model = gavel.Model.open(work.inputs["bundle"], device=device)
    writer = gavel.Generator(model)
    each_row(work, lambda row: generated(writer, row, options, prompting=generator.prompting))
    rows = datasets.read_rows(work.folder / ROWS)
    longest = max((row["run"]["tokens"]["prompt"] for row in rows if row["candidates"]), default=1)
    memory = model.estimate(longest, options["candidates"], options["max_tokens"]).total
    write_facts(work.folder, facts_of(model, memory))


def generate_remotely(generator: Generator, options: dict[str, Any], work: Work) -> None:
    """Candidates of every task, by an endpoint, which is asked one task at a time."""
    assert generator.remote is not None
    writer = RemoteGenerator(generator.remote)

    def answered(row: Row) -> Row:
        made = writer.generate(task_of(row, "chat", None), **options)
        record = {
            "gavel": gavel.__version__,
            "options": {**options, "prompting": "chat", "model": writer.client.endpoint.model},
            "seconds": {"prefill": 0.0, "decode": made.stats.decode_seconds, "sample": 0.0},
            "tokens": {"prompt": made.stats.prompt_tokens, "sampled": made.stats.sampled_tokens},
        }
        return row | {"candidates": [candidate_row(each) for each in made], "run": record}

    each_row(work, answered)
    write_facts(work.folder, {})


def take(generator: str, count: int, work: Work) -> None:
    """Candidates that are in files already, rows or samples, for every task; the first ``count`` of each."""
    files = [path for name, path in work.inputs.items() if name != "tasks"]
    known = {
        row["task_id"]: row
        for row in formats.read_records([work.inputs["tasks"], *files], generator, strange_samples=True)
    }
    rows = [known[datasets.task_id(task)] for task in datasets.read_rows(work.inputs["tasks"])]
    if missing := [row["task_id"] for row in rows if not row.get("candidates")]:
        raise DatasetError(
            f"{generator}: {len(missing)} of {len(rows)} tasks have no candidates in "
            f"{', '.join(path.name for path in files)} ({', '.join(missing[:NAMED])}); add the file that has them, or "
            "leave their part out of `parts`"
        )
    for row in rows:
        if len(row["candidates"]) < count:
            raise DatasetError(
                f"{generator}: task {row['task_id']} has {len(row['candidates'])} candidates, {count} are asked for"
            )
    taken = [row | {"candidates": row["candidates"][:count]} for row in rows]
    formats.write(work.folder / ROWS, taken)
    write_facts(work.folder, {})


def label_rows(labelling: Labelling, work: Work) -> None:
    """The rows with their labels; rows that have all of them are taken as they are."""
    source: Path = work.inputs["rows"]
    if all(_labelled(row) for row in datasets.read_rows(source)):
        shutil.copyfile(source, work.folder / ROWS)
        return
    summary = label(
        source,
        work.folder / ROWS,
        jobs=labelling.jobs,
        timeout=labelling.timeout,
        memory_mb=labelling.memory,
        progress=lambda pace: work.tell(f"{pace.tasks} of {pace.tasks_total} tasks", pace.tasks / pace.tasks_total),
    )
    if summary.bad_references:
        named = ", ".join(list(summary.bad_references)[:NAMED])
        work.notes.append(f"{len(summary.bad_references)} tasks fail with their own solution: {named}")
    if broken := summary.statuses.get("harness_error"):
        work.notes.append(f"{broken} candidates could not be run, and count nowhere")


def elsewhere(generator: str, work: Work) -> None:
    """Candidates of other tasks as rows; those that do not say whether they passed are left out."""
    records = formats.read_records(work.inputs.values(), generator)
    rows = []
    for row in records:
        known = [each for each in row.get("candidates") or [] if isinstance(each.get("passed"), bool)]
        if known:
            rows.append(row | {"candidates": [each | {"index": index} for index, each in enumerate(known)]})
    if not rows:
        raise DatasetError(f"{generator}: no candidate of these files says whether it passed; label them first")
    left_out = sum(len(row.get("candidates") or []) for row in records) - sum(len(row["candidates"]) for row in rows)
    if left_out:
        work.notes.append(f"{left_out} candidates do not say whether they passed, and count nowhere")
    formats.write(work.folder / ROWS, rows)


def _labelled(row: Row) -> bool:
    return all(
        isinstance(each.get("passed"), bool) or each.get("status") == "harness_error" for each in row["candidates"]
    )


def each_row(work: Work, make: Callable[[Row], Row], *, prepared: Callable[[Row], Row] = lambda row: row) -> None:
    """Does every row of ``rows`` or ``tasks`` once, and goes on where it stopped. A row that cannot be done (it does
    not fit the context, or memory) comes out ``prepared`` but not made, and a note says so."""
    source = work.inputs.get("rows") or work.inputs["tasks"]
    rows = datasets.read_rows(source)
    with RowWriter(work.folder / ROWS) as out:
        for row in map(prepared, out.pending(rows)):
            try:
                out.append(metered(make, row))
            except ToolkitError:
                raise
            except (gavel.InvalidArgument, gavel.OutOfMemory) as error:
                out.append(row | {"candidates": row.get("candidates") or [], "failed": str(error)})
            work.tell(f"{len(out.finished)} of {len(rows)} tasks", len(out.finished) / len(rows))
    failed = [row for row in datasets.read_rows(work.folder / ROWS) if "failed" in row]
    if failed:
        work.notes.append(f"{len(failed)} tasks could not be done, such as {_named(failed)}: {failed[0]['failed']}")


def _named(rows: Iterable[Row]) -> str:
    return ", ".join(datasets.task_id(row) for row in list(rows)[:NAMED])
