"""gavel solve"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

import gavel
from gavel.cli import rows
from gavel.cli.errors import CommandError, command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, Judges, OptionalGenerator, OptionalOutput, Ray, Sampling, Scoring, TasksInput
from gavel.cli.run import Job, perform, ranking_record, todo_of
from gavel.cli.team import Models, absolute, team_file
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import generation_record, merged, task_of

EXAMPLES = """
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel --candidates 10 --max-tokens 256 --limit 60
gavel solve tasks.jsonl -o solved.jsonl -g model.gavel -j probe -j judge.gavel:verbalizer --weight 3 --weight 1
gavel solve --task "Write a function that says whether a number is prime." --language python -g model.gavel
gavel solve tasks.jsonl -o solved.jsonl --team mine.team.json
gavel solve --task begun.java -g model.gavel --json
gavel solve tasks.jsonl -o solved.jsonl -g /shared/model.gavel -j verbalizer --ray auto
"""


@dataclass(frozen=True)
class Solving:
    """How to open a worker that writes, judges and ranks candidates."""

    given: TasksInput
    team: Path | None
    """A team file, which brings what the next two and the scoring would say."""
    generator: Path | None
    judges: list[str] | None
    options: gavel.GenerateOptions
    scoring: dict[str, Any]
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given, options = self.given, self.options
        team = self._open_team()
        how, arguments = (asdict(team.options), {}) if self.team else (self.scoring, self.scoring)
        if (model := team.model) is None:
            raise CommandError(f"team {self.team} has no generator; rank candidates from elsewhere with gavel rank")
        infos = team.infos()

        def work(row: Row, stream: Stream | None = None) -> Row:
            task = task_of(row, given.prompting, given.language)
            ranking = team.solve(task, stream=stream, timeout=given.timeout, **arguments, **options)
            record = generation_record(options, task.prompting, ranking.stats, model)
            return row | {
                "candidates": rows.ranking_rows(ranking),
                "best": ranking.best.candidate.index,
                "run": merged(record, ranking_record(task.prompting, ranking, how)),
            }

        bundles = {"generator": model.digest, "judges": [asdict(info) for info in infos]}
        yield Worker(Facts(bundles, infos, options=how), work)

    def _open_team(self) -> gavel.Ranker:
        if self.team:
            return gavel.Ranker.open(self.team, device=self.device)
        assert self.generator is not None
        models = Models(self.device)
        return gavel.Ranker(models.open(self.generator), models.judges(self.judges, own=self.generator))


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
    ray: Ray = None,
) -> None:
    """Write candidates for tasks, judge them, and pick the best.

    Without --judge the generator's own bundle judges, with a KIND alone that judge of it, and with --judge none the
    candidates' log-probability decides; --team brings generator, judges and weights. After a kill the same command goes
    on where it stopped.
    """
    todo = todo_of(given, writing.output)
    team = team_file(scoring, generator=generator, judge=judge)
    if not team and not generator:
        raise typer.BadParameter("nobody to write; name a bundle with --generator, or a team with --team")
    options = sampling.options()
    asked = {**options, "prompting": given.prompting, "language": given.language, "device": device}
    recipe = Solving(
        given,
        team,
        generator and generator.absolute(),
        absolute(judge, own=generator),
        options,
        scoring.options(),
        device,
    )
    perform(Job("solve", todo, recipe, asked, ray, writes=True), writing, given.tasks)
