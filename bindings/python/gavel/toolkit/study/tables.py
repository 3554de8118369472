"""A table of the report, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gavel.toolkit.study.records import Record

UNKNOWN = "–"


class Cell(NamedTuple):
    text: str
    detail: str = ""  # smaller, below: an interval
    number: bool = True


@dataclass(frozen=True)
class Table:
    """``rows`` have a cell for each heading; ``file`` is the CSV file that has these records and more."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    file: str
    note: str = ""


Column = tuple[str, Callable[[Record], Cell]]


def table(title: str, columns: Sequence[Column], records: Sequence[Record], file: str, note: str = "") -> Table:
    """A row for each record. A column in which nothing is known is left out."""
    made = [(heading, [cell(record) for record in records]) for heading, cell in columns]
    known = [(heading, cells) for heading, cells in made if any(one.text != UNKNOWN for one in cells)]
    headings = tuple(heading for heading, _ in known)
    return Table(title, headings, list(zip(*(cells for _, cells in known), strict=True)), file, note)


def text(value: Any) -> Cell:
    return Cell(UNKNOWN if value is None else str(value), number=False)


def count(value: int | None) -> Cell:
    return Cell(UNKNOWN if value is None else f"{value:,}")


def number(value: float | None, form: str = ".3f") -> Cell:
    return Cell(UNKNOWN if value is None else f"{value:{form}}")


def estimate(value: dict[str, float] | None, form: str = ".3f") -> Cell:
    if value is None:
        return Cell(UNKNOWN)
    return Cell(f"{value['value']:{form}}", f"{value['low']:{form}} to {value['high']:{form}}")


def share(part: int | None, whole: int) -> Cell:
    """A count and, below it, its share."""
    return Cell(UNKNOWN) if part is None else Cell(f"{part:,}", f"{part / whole:.1%}" if whole else "")


def parameters(value: int | None) -> Cell:
    if value is None:
        return Cell(UNKNOWN)
    return Cell(f"{value / 1e9:.2f} B" if value >= 1e9 else f"{value / 1e6:.0f} M")


def field(name: str, form: Callable[..., Cell] = text, *more: Any) -> Callable[[Record], Cell]:
    """The cell of a record's field."""
    return lambda record: form(record[name], *more)
