"""gavel rank"""

from __future__ import annotations

from dataclasses import asdict

import gavel
from gavel.cli import rows
from gavel.cli.errors import command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, FileOutput, Judges, RowsInput, Scoring
from gavel.cli.progress import Bar
from gavel.cli.run import Job, perform, ranking_record
from gavel.cli.team import Models, open_team
from gavel.toolkit.datasets import Row

EXAMPLES = """
gavel rank candidates.jsonl -o ranked.jsonl -j judge.gavel
gavel rank judged.jsonl -o ranked.jsonl --aggregation mean_logit
gavel rank candidates.jsonl -o ranked.jsonl --team mine.team.json
"""


@command
@grouped
def rank(given: RowsInput, writing: FileOutput, scoring: Scoring, judge: Judges = None, device: Device = "cpu") -> None:
    """Judge candidates and pick the best of each task.

    Without --judge the verdicts that gavel judge wrote into the rows are put together; where there are none, the
    candidates' log-probability decides; --team brings judges and weights, and asks anew. After a kill the same command
    goes on where it stopped.
    """
    todo = rows.read(given.rows, given.limit)
    how = arguments = scoring.options()
    recorded = [] if judge or scoring.team else rows.RecordedJudge.of(todo)
    if scoring.team:
        team = open_team(scoring, device, judge=judge)
        how, arguments = asdict(team.options), {}
    else:
        team = gavel.Ranker(None, [*Models(device).judges(judge), *recorded])
    infos = team.infos()

    def work(row: Row, _progress: Bar) -> Row:
        task = rows.task_of(row, given.prompting, None)
        candidates = rows.candidates_of(row)
        for each in recorded:
            each.row = row
        ranking = team.rank(task, candidates, timeout=given.timeout, **arguments)
        record = ranking_record(task.prompting, ranking, how)
        return row | {
            "candidates": rows.ranking_rows(ranking, row["candidates"]),
            "best": ranking.best.candidate.index,
            "run": rows.merged(row.get("run"), record),
        }

    asked = {
        "command": "rank",
        "options": {**how, "prompting": given.prompting, "device": device},
        "bundles": {"judges": [asdict(info) for info in infos]},
    }
    perform(Job("rank", todo, work, asked, infos), writing, given.rows)
