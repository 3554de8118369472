"""Tables at the end of a run: what was compared with which reference, and how often it differed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

TABLES: dict[str, list[dict[str, str]]] = {}


def record(table: str, row: Mapping[str, object]) -> None:
    """Adds a row to a table that is printed when all tests have run. Rows of one table have the same columns."""
    TABLES.setdefault(table, []).append({column: str(value) for column, value in row.items()})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, rows in TABLES.items():
        columns = list(rows[0])
        widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
        terminalreporter.section(title)
        for line in (dict(zip(columns, columns, strict=True)), *rows):
            cells = (line[column].ljust(width) for column, width in zip(columns, widths, strict=True))
            terminalreporter.write_line("  ".join(cells).rstrip())
