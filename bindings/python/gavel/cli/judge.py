"""gavel judge"""

from __future__ import annotations

import time
from dataclasses import asdict

import gavel
from gavel.cli import rows
from gavel.cli.errors import CommandError, command, tell
from gavel.cli.groups import grouped
from gavel.cli.options import Device, Feedback, FileOutput, Judges, Precision, RowsInput
from gavel.cli.progress import Bar
from gavel.cli.run import Job, judging_record, perform
from gavel.cli.team import Models
from gavel.toolkit.datasets import Row

EXAMPLES = """
gavel judge candidates.jsonl -o judged.jsonl -j judge.gavel
gavel judge candidates.jsonl -o judged.jsonl -j model.gavel:probe -j model.gavel:verbalizer
gavel judge candidates.jsonl -o judged.jsonl -j rankef.gavel --feedback
gavel judge candidates.jsonl -o judged.jsonl -j calibrated.gavel --precision 0.95
"""

FEEDBACK_TOKENS = 256

# An empty candidate is no program: wrong, without asking a model.
EMPTY = gavel.Verdict(0.0, None, "wrong")


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
        task = rows.task_of(row, given.prompting, None)
        candidates = rows.candidates_of(row)
        asked = [each for each in candidates if each.text.strip()]
        judged = [{"index": each.index} | known for each, known in zip(candidates, row["candidates"], strict=True)]
        seconds = []
        for member, info in zip(judges, infos, strict=True):
            begun = time.perf_counter()
            verdicts = member.judge(task, asked, timeout=given.timeout) if asked else []
            seconds.append(time.perf_counter() - begun)
            if cut := max((verdict.truncated for verdict in verdicts), default=0):
                tell(f"task {task.id}: {info.name} had no room for up to {cut} tokens of task and candidate")
            found = iter(verdicts)
            for candidate, known in zip(candidates, judged, strict=True):
                verdict = next(found) if candidate.text.strip() else EMPTY
                known["verdicts"] = rows.with_verdict(known.get("verdicts"), rows.verdict_row(info, verdict))
        record = judging_record(task.prompting, infos, seconds)
        return row | {"candidates": judged, "run": rows.merged(row.get("run"), record)}

    asked = {
        "command": "judge",
        "options": {"prompting": given.prompting, "feedback": feedback, "precision": precision, "device": device},
        "bundles": {"judges": [asdict(info) for info in infos]},
    }
    perform(Job("judge", todo, work, asked, infos), writing, given.rows)
