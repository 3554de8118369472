"""What generating and judging took, from the records that rows carry of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gavel.toolkit.datasets import Row
from gavel.toolkit.study.data import Cost, Spent


def of_generator(rows: Sequence[Row], memory_bytes: int | None) -> Cost:
    """Reading the prompt is once a task; writing is for each candidate."""
    return Cost(
        memory_bytes=memory_bytes,
        seconds=_spent(rows, lambda run: run["seconds"]["prefill"], _written),
        joules=_spent(rows, None, lambda run: run["joules"]),
        input_tokens=_spent(rows, lambda run: run["tokens"]["prompt"], None),
        output_tokens=_spent(rows, None, lambda run: run["tokens"]["sampled"]),
    )


def of_judge(rows: Sequence[Row], memory_bytes: int | None) -> Cost:
    """All for each candidate: what a judge takes to read the task was not measured apart."""
    return Cost(
        memory_bytes=memory_bytes,
        seconds=_spent(rows, None, lambda run: sum(run["seconds"]["judges"])),
        joules=_spent(rows, None, lambda run: run["joules"]),
        input_tokens=_spent(rows, None, lambda run: run["tokens"]["judge_read"]),
        output_tokens=_spent(rows, None, lambda run: run["tokens"]["judge_wrote"]),
    )


Amount = Callable[[Row], float]


def _written(run: Row) -> float:
    return float(run["seconds"]["decode"] + run["seconds"]["sample"])


def _spent(rows: Sequence[Row], once: Amount | None, each: Amount | None) -> Spent | None:
    """Means over tasks and over candidates; None where a row does not say."""
    done = [row for row in rows if row.get("candidates") and "failed" not in row]
    candidates = sum(len(row["candidates"]) for row in done)
    try:
        by_task, by_candidate = (sum(amount(row["run"]) for row in done) if amount else 0.0 for amount in (once, each))
    except (KeyError, TypeError):
        return None
    return Spent(by_task / len(done), by_candidate / candidates) if done else None
