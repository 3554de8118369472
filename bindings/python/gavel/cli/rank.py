"""gavel rank"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import gavel
from gavel.cli import rows
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, FileOutput, Judges, RowsInput, Scoring
from gavel.cli.run import Job, perform, ranking_record
from gavel.cli.team import Models, absolute
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row

EXAMPLES = """
gavel rank candidates.jsonl -o ranked.jsonl -j judge.gavel
gavel rank judged.jsonl -o ranked.jsonl --aggregation mean_logit
"""


@dataclass(frozen=True)
class Ranking:
    """How to open a worker that judges and ranks candidates."""

    given: RowsInput
    judges: list[str] | None
    recorded: list[rows.RecordedJudge]
    how: dict[str, Any]
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given, how, recorded = self.given, self.how, self.recorded
        members = [*Models(self.device).judges(self.judges), *recorded]
        infos = [each.info() for each in members]
        team = gavel.Ranker(None, members)

        def work(row: Row, stream: Stream | None = None) -> Row:
            task = rows.task_of(row, given.prompting, None)
            candidates = rows.candidates_of(row)
            for each in recorded:
                each.row = row
            ranking = team.rank(task, candidates, timeout=given.timeout, **how)
            record = ranking_record(task.prompting, ranking, how)
            return row | {
                "candidates": rows.ranking_rows(ranking, row["candidates"]),
                "best": ranking.best.candidate.index,
                "run": rows.merged(row.get("run"), record),
            }

        yield Worker(Facts({"judges": [asdict(info) for info in infos]}, infos), work)


@command
@grouped
def rank(given: RowsInput, writing: FileOutput, scoring: Scoring, judge: Judges = None, device: Device = "cpu") -> None:
    """Judge candidates and pick the best of each task.

    Without --judge the verdicts that gavel judge wrote into the rows are put together; where there are none, the
    candidates' log-probability decides. After a kill the same command goes on where it stopped.
    """
    todo = rows.read(given.rows, given.limit)
    how = scoring.options()
    recorded = [] if judge else rows.RecordedJudge.of(todo)
    asked = {**how, "prompting": given.prompting, "device": device}
    perform(Job("rank", todo, Ranking(given, absolute(judge), recorded, how, device), asked), writing, given.rows)
