"""gavel rank"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gavel
from gavel.cli import rows
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, FileOutput, Judges, RowsInput, Scoring
from gavel.cli.run import Job, perform, ranking_record
from gavel.cli.team import Models, absolute, team_file
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import candidates_of, merged, task_of

EXAMPLES = """
gavel rank candidates.jsonl -o ranked.jsonl -j judge.gavel
gavel rank judged.jsonl -o ranked.jsonl --aggregation mean_logit
gavel rank candidates.jsonl -o ranked.jsonl --team mine.team.json
"""


@dataclass(frozen=True)
class Ranking:
    """How to open a worker that judges and ranks candidates."""

    given: RowsInput
    team: Path | None
    """A team file, which brings what the next two and the scoring would say."""
    judges: list[str] | None
    recorded: list[rows.RecordedJudge]
    scoring: dict[str, Any]
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given, recorded = self.given, self.recorded
        if self.team:
            team = gavel.Ranker.open(self.team, device=self.device)
            how, arguments = asdict(team.options), {}
        else:
            team = gavel.Ranker(None, [*Models(self.device).judges(self.judges), *recorded])
            how = arguments = self.scoring
        infos = team.infos()

        def work(row: Row, stream: Stream | None = None) -> Row:
            task = task_of(row, given.prompting, None)
            candidates = candidates_of(row)
            for each in recorded:
                each.row = row
            ranking = team.rank(task, candidates, timeout=given.timeout, **arguments)
            record = ranking_record(task.prompting, ranking, how)
            return row | {
                "candidates": rows.ranking_rows(ranking, row["candidates"]),
                "best": ranking.best.candidate.index,
                "run": merged(row.get("run"), record),
            }

        yield Worker(Facts({"judges": [asdict(info) for info in infos]}, infos, options=how), work)


@command
@grouped
def rank(given: RowsInput, writing: FileOutput, scoring: Scoring, judge: Judges = None, device: Device = "cpu") -> None:
    """Judge candidates and pick the best of each task.

    Without --judge the verdicts that gavel judge wrote into the rows are put together; where there are none, the
    candidates' log-probability decides; --team brings judges and weights, and asks anew. After a kill the same command
    goes on where it stopped.
    """
    todo = rows.read(given.rows, given.limit)
    team = team_file(scoring, judge=judge)
    recorded = [] if judge or team else rows.RecordedJudge.of(todo)
    asked = {"prompting": given.prompting, "device": device}
    recipe = Ranking(given, team, absolute(judge), recorded, scoring.options(), device)
    perform(Job("rank", todo, recipe, asked), writing, given.rows)
