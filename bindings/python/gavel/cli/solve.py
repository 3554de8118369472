"""gavel solve"""

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
from gavel.cli.options import Device, GeneratorBundle, Judges, OptionalOutput, Ray, Sampling, Scoring, TasksInput
from gavel.cli.run import Job, generation_record, perform, ranking_record, todo_of
from gavel.cli.team import Models, absolute
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row

EXAMPLES = """
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel --candidates 10 --max-tokens 256 --limit 60
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel -j probe -j judge.gavel:verbalizer --weight 3 --weight 1
gavel solve --task "Write a function that says whether a number is prime." --language python -g model.gavel
gavel solve --task begun.java -g model.gavel --json
gavel solve tasks.jsonl -o solved.jsonl -g /shared/model.gavel -j verbalizer --ray auto
"""


@dataclass(frozen=True)
class Solving:
    """How to open a worker that writes, judges and ranks candidates."""

    given: TasksInput
    generator: Path
    judges: list[str] | None
    options: gavel.GenerateOptions
    how: dict[str, Any]
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given, options, how = self.given, self.options, self.how
        models = Models(self.device)
        model = models.open(self.generator)
        judges = models.judges(self.judges, own=self.generator)
        infos = [each.info() for each in judges]
        team = gavel.Ranker(gavel.Generator(model), judges)

        def work(row: Row, stream: Stream | None = None) -> Row:
            task = rows.task_of(row, given.prompting, given.language)
            ranking = team.solve(task, stream=stream, timeout=given.timeout, **how, **options)
            record = generation_record(options, task.prompting, ranking.stats, model)
            return row | {
                "candidates": rows.ranking_rows(ranking),
                "best": ranking.best.candidate.index,
                "run": rows.merged(record, ranking_record(task.prompting, ranking, how)),
            }

        yield Worker(Facts({"generator": model.digest, "judges": [asdict(info) for info in infos]}, infos), work)


@command
@grouped
def solve(
    given: TasksInput,
    generator: GeneratorBundle,
    writing: OptionalOutput,
    sampling: Sampling,
    scoring: Scoring,
    judge: Judges = None,
    device: Device = "cpu",
    ray: Ray = None,
) -> None:
    """Write candidates for tasks, judge them, and pick the best.

    Without --judge the generator's own bundle judges, with a KIND alone that judge of it, and with --judge none the
    candidates' log-probability decides. After a kill the same command goes on where it stopped.
    """
    todo = todo_of(given, writing.output)
    options, how = sampling.options(), scoring.options()
    asked = {**options, **how, "prompting": given.prompting, "language": given.language, "device": device}
    recipe = Solving(given, generator.absolute(), absolute(judge, own=generator), options, how, device)
    perform(Job("solve", todo, recipe, asked, ray, writes=True), writing, given.tasks)
