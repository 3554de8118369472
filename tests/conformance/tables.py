"""Figures that conformance tests found, printed as tables when all have run."""

from __future__ import annotations

TABLES: dict[str, list[dict[str, str]]] = {}


def record(table: str, row: dict[str, object]) -> None:
    """Adds a row, column name to value, to the table of this title; titles and rows keep their order."""
    TABLES.setdefault(table, []).append({name: str(value) for name, value in row.items()})


def lines() -> list[str]:
    """All tables as text, columns aligned."""
    out: list[str] = []
    for title, rows in TABLES.items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        cells = [columns, *([row.get(name, "") for name in columns] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        out += ["", title]
        out += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
    return out
