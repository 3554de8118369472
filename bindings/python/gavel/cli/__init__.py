"""The command line: ``gavel COMMAND --help`` says what each command does."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``gavel`` command."""
    from gavel.cli.app import app

    app()
