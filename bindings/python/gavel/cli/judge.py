"""gavel judge"""

from __future__ import annotations

from dataclasses import asdict

from gavel.cli import rows
from gavel.cli.errors import CommandError, command, tell
from gavel.cli.groups import grouped
from gavel.cli.options import Device, Feedback, FileOutput, Judges, Precision, RowsInput
from gavel.cli.progress import Bar
from gavel.cli.run import Job, perform
from gavel.cli.team import Models
from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import judged

EXAMPLES = """
gavel judge candidates.jsonl -o judged.jsonl -j judge.gavel
gavel judge candidates.jsonl -o judged.jsonl -j model.gavel:probe -j model.gavel:verbalizer
gavel judge candidates.jsonl -o judged.jsonl -j rankef.gavel --feedback
gavel judge candidates.jsonl -o judged.jsonl -j calibrated.gavel --precision 0.95
"""

FEEDBACK_TOKENS = 256


@command
@grouped
def judge(
    given: RowsInput,
    writing: FileOutput,
    judge: Judges = None,
    feedback: Feedback = False,
    precision: Precision = None,
    device: Device = "cpu",
) -> None:
    """Add judges' verdicts to rows with candidates, wherever those come from.

    Verdicts of other judges that are there stay; gavel rank puts them together. After a kill the same command goes on
    where it stopped.
    """
    todo = rows.read(given.rows, given.limit)
    judges = Models(device).judges(judge, feedback_tokens=FEEDBACK_TOKENS if feedback else 0, precision=precision)
    if not judges:
        raise CommandError("nobody to judge; name a bundle with --judge")
    infos = [each.info() for each in judges]
    for member, info in zip(judges, infos, strict=True):
        if precision is not None and (point := member.at_precision(precision)):
            tell(
                f"{info.name} says correct from P(correct) {point.threshold:.4f} on: precision {point.precision:.3f} "
                f"(95 % interval from {point.precision_low:.3f}), coverage {point.coverage:.3f} of {point.candidates} "
                "validation candidates"
            )

    def work(row: Row, _progress: Bar) -> Row:
        return judged(judges, row, prompting=given.prompting, timeout=given.timeout, warn=tell)

    asked = {
        "command": "judge",
        "options": {"prompting": given.prompting, "feedback": feedback, "precision": precision, "device": device},
        "bundles": {"judges": [asdict(info) for info in infos]},
    }
    perform(Job("judge", todo, work, asked, infos), writing, given.rows)
