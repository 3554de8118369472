"""Prints the tables that the tests filled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tables


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in tables.lines():
        terminalreporter.write_line(line)
