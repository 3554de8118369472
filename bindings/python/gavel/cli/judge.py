"""gavel judge"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import gavel
from gavel.cli import rows
from gavel.cli.errors import CommandError, command
from gavel.cli.groups import grouped
from gavel.cli.options import Device, Feedback, FileOutput, Judges, Precision, Ray, RowsInput
from gavel.cli.run import Job, perform
from gavel.cli.team import NO_JUDGE, Models, absolute
from gavel.cli.work import Facts, Stream, Worker
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import judged

EXAMPLES = """
gavel judge candidates.jsonl -o judged.jsonl -j judge.gavel
gavel judge candidates.jsonl -o judged.jsonl -j model.gavel:probe -j model.gavel:verbalizer
gavel judge candidates.jsonl -o judged.jsonl -j rankef.gavel --feedback
gavel judge candidates.jsonl -o judged.jsonl -j calibrated.gavel --precision 0.95
gavel judge candidates.jsonl -o judged.jsonl -j /shared/judge.gavel --ray auto
"""

FEEDBACK_TOKENS = 256


@dataclass(frozen=True)
class Judging:
    """How to open a worker that adds verdicts."""

    given: RowsInput
    judges: list[str] | None
    feedback_tokens: int
    precision: float | None
    device: str

    @contextmanager
    def open(self) -> Iterator[Worker]:
        given = self.given
        judges = Models(self.device).judges(self.judges, feedback_tokens=self.feedback_tokens, precision=self.precision)
        infos = [each.info() for each in judges]

        def work(row: Row, stream: Stream | None = None) -> Row:
            return judged(judges, row, prompting=given.prompting, timeout=given.timeout)

        yield Worker(Facts({"judges": [asdict(info) for info in infos]}, infos, self._remarks(judges)), work)

    def _remarks(self, judges: list[gavel.Judge]) -> list[str]:
        points = [] if self.precision is None else [(each.info(), each.at_precision(self.precision)) for each in judges]
        return [
            f"{info.name} says correct from P(correct) {point.threshold:.4f} on: precision {point.precision:.3f} "
            f"(95 % interval from {point.precision_low:.3f}), coverage {point.coverage:.3f} of {point.candidates} "
            "validation candidates"
            for info, point in points
            if point
        ]


@command
@grouped
def judge(
    given: RowsInput,
    writing: FileOutput,
    judge: Judges = None,
    feedback: Feedback = False,
    precision: Precision = None,
    device: Device = "cpu",
    ray: Ray = None,
) -> None:
    """Add judges' verdicts to rows with candidates, wherever those come from.

    Verdicts of other judges that are there stay; gavel rank puts them together. After a kill the same command goes on
    where it stopped.
    """
    todo = rows.read(given.rows, given.limit)
    if not judge or judge == [NO_JUDGE]:
        raise CommandError("nobody to judge; name a bundle with --judge")
    asked = {"prompting": given.prompting, "feedback": feedback, "precision": precision, "device": device}
    recipe = Judging(given, absolute(judge), FEEDBACK_TOKENS if feedback else 0, precision, device)
    perform(Job("judge", todo, recipe, asked, ray), writing, given.rows)
