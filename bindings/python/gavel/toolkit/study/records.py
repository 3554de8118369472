"""Picking records out of a study's analysis, and saying how many tasks and candidates stand behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Record = dict[str, Any]
ALL = "all"  # the generator of pooled candidates, the data set of all tasks, the subset of all candidates


def where(records: Iterable[Record], **wanted: Any) -> list[Record]:
    return [record for record in records if all(record[name] == value for name, value in wanted.items())]


def distinct(records: Iterable[Record], *names: str) -> list[tuple[Any, ...]]:
    """The values of these fields, each combination once, in order of appearance."""
    return list(dict.fromkeys(tuple(record[name] for name in names) for record in records))


def scope(*names: str) -> str:
    """Test set and generator, or either, in words."""
    return ", ".join("all generators" if name == ALL else name for name in names)


def chosen(records: Iterable[Record]) -> list[Record]:
    """Ranking records of ways that choose among several candidates."""
    return [record for record in records if record["family"] not in ("generator", "greedy")]


def largest(records: Iterable[Record]) -> list[Record]:
    """The `chosen` of the largest number of candidates."""
    several = chosen(records)
    return where(several, n=max((record["n"] for record in several), default=0))


def counted(records: Sequence[Record], *names: str) -> str:
    """``n = 104 tasks, 2,070 to 2,080 candidates``: the least and the most of each field over the records."""
    return "n = " + ", ".join(f"{between(record[name] for record in records)} {name}" for name in names)


def drawn(records: Iterable[Record]) -> str:
    """How many candidates of a task a ranking had, and where they are from."""
    sources: dict[str, list[int]] = {}
    for record in chosen(records):
        pool, times = between(record["pool"].values()), record["repetitions"]
        source = f"drawn {times} times from a pool of {pool}" if times > 1 else "its whole pool"
        numbers = sources.setdefault(source, [])
        if record["n"] not in numbers:
            numbers.append(record["n"])
    said = [f"{', '.join(map(str, numbers))} candidates a task ({source})" for source, numbers in sources.items()]
    return "; ".join(said)


def between(values: Iterable[int]) -> str:
    known = sorted(set(values))
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"
