"""What work on a row takes of the processor's energy, where the machine tells it (Intel's and AMD's RAPL counters)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gavel.toolkit.datasets import Row
from gavel.toolkit.rows import merged

POWERCAP = Path("/sys/class/powercap")


def metered(make: Callable[[Row], Row], row: Row) -> Row:
    """The row that ``make`` makes, and in its record the joules that all processors took meanwhile, others' work
    included; without them where the counters cannot be read."""
    before = counters()
    made = make(row)
    spent = [joules(start, end) for start, end in zip(before, counters(), strict=True)]
    return made | {"run": merged(made.get("run"), {"joules": sum(spent)})} if spent else made


def counters(root: Path = POWERCAP) -> list[tuple[int, int]]:
    """Of each processor package: microjoules, and where its counter starts again at 0."""
    found = []
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue  # a part of a package
        try:
            found.append(tuple(int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj")))
        except (OSError, ValueError):
            return []
    return found  # type: ignore[return-value]


def joules(start: tuple[int, int], end: tuple[int, int]) -> float:
    return (end[0] - start[0] if end[0] >= start[0] else end[0] + start[1] - start[0]) / 1e6
