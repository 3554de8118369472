"""gavel solve"""

from __future__ import annotations

from dataclasses import asdict

import typer

import gavel
from gavel.cli import rows
from gavel.cli.errors import CommandError, command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, Judges, OptionalGenerator, OptionalOutput, Sampling, Scoring, TasksInput
from gavel.cli.progress import Bar
from gavel.cli.run import Job, generation_record, perform, ranking_record, todo_of
from gavel.cli.team import Models, open_team
from gavel.toolkit.datasets import Row

EXAMPLES = """
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel --candidates 10 --max-tokens 256 --limit 60
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel -j probe -j judge.gavel:verbalizer --weight 3 --weight 1
gavel solve --task "Write a function that says whether a number is prime." --language python -g model.gavel
gavel solve tasks.jsonl -o solved.jsonl --team mine.team.json
gavel solve --task begun.java -g model.gavel --json
"""


@command
@grouped
def solve(
    given: TasksInput,
    writing: OptionalOutput,
    sampling: Sampling,
    scoring: Scoring,
    generator: OptionalGenerator = None,
    judge: Judges = None,
    device: Device = "cpu",
) -> None:
    """Write candidates for tasks, judge them, and pick the best.

    Without --judge the generator's own bundle judges, with a KIND alone that judge of it, and with --judge none the
    candidates' log-probability decides; --team brings generator, judges and weights. After a kill the same command goes
    on where it stopped.
    """
    todo = todo_of(given, writing.output)
    options = sampling.options()
    how = arguments = scoring.options()
    if scoring.team:
        team = open_team(scoring, device, generator=generator, judge=judge)
        how, arguments = asdict(team.options), {}
    elif generator:
        models = Models(device)
        team = gavel.Ranker(models.open(generator), models.judges(judge, own=generator))
    else:
        raise typer.BadParameter("nobody to write; name a bundle with --generator, or a team with --team")
    if (model := team.model) is None:
        raise CommandError(f"team {scoring.team} has no generator; rank candidates from elsewhere with gavel rank")
    infos = team.infos()

    def work(row: Row, progress: Bar) -> Row:
        task = rows.task_of(row, given.prompting, given.language)
        ranking = team.solve(task, stream=progress.stream, timeout=given.timeout, **arguments, **options)
        record = generation_record(options, task.prompting, ranking.stats, model)
        return row | {
            "candidates": rows.ranking_rows(ranking),
            "best": ranking.best.candidate.index,
            "run": rows.merged(record, ranking_record(task.prompting, ranking, how)),
        }

    asked = {
        "command": "solve",
        "options": {**options, **how, "prompting": given.prompting, "language": given.language, "device": device},
        "bundles": {"generator": model.digest, "judges": [asdict(info) for info in infos]},
    }
    perform(Job("solve", todo, work, asked, infos, writes=True), writing, given.tasks)
