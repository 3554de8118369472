"""An output file that survives kills: rows appended whole, and beside it a record of how they were made."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from gavel._version import __version__
from gavel.cli.errors import CommandError, tell
from gavel.toolkit.datasets import Row, RowWriter, cut_partial_line, write_atomically


class Output:
    """OUT.jsonl with OUT.run.json.

    Opening an output that is there goes on with it: a last line cut short by a kill is dropped and reported, finished
    tasks are known, and what the new run was asked must be what the first was. One process at a time.
    """

    def __init__(self, path: Path, asked: dict[str, Any], *, overwrite: bool, inputs: list[Path]) -> None:
        if any(path.resolve() == each.resolve() for each in inputs):
            raise CommandError(f"{path} is the input too; name another output")
        self.path = path
        self.record = path.with_name(f"{path.name.removesuffix('.jsonl')}.run.json")
        if path.exists() and not path.is_file():
            raise CommandError(f"{path} is no ordinary file; rows need one that can be read again to go on")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take()
            self._compare_or_write({"gavel": __version__} | asked, overwrite)
            self._writer = RowWriter(path)
        except BaseException:
            os.close(self._lock)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"{self.path} is being written by another gavel; wait for it, or name another") from None

    def _compare_or_write(self, asked: dict[str, Any], overwrite: bool) -> None:
        if overwrite:
            os.ftruncate(self._lock, 0)
        elif cut_partial_line(self.path):
            tell(f"{self.path}: dropped a last line that was cut short; its task is done again")
        if os.fstat(self._lock).st_size == 0:
            self._write(asked)
            return
        if not self.record.exists():
            raise CommandError(
                f"{self.path} has rows but no {self.record.name} that says how they were made; name another output, or "
                "start it anew with --overwrite"
            )
        try:
            made = json.loads(self.record.read_bytes())
        except ValueError as error:
            raise CommandError(f"{self.record}: not JSON ({error}); restore it, or use --overwrite") from None
        differing = differences(made, asked)
        if differing:
            raise CommandError(
                f"{self.path} was made differently: {'; '.join(differing)}. Use the same, name another output, "
                "or start it anew with --overwrite"
            )

    def _write(self, asked: dict[str, Any]) -> None:
        try:
            write_atomically(self.record, json.dumps(asked, indent=1, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise CommandError(f"{self.record}: cannot be written: {error.strerror}; free space or rights") from error

    @property
    def finished(self) -> set[str]:
        return self._writer.finished

    def append(self, row: Row) -> None:
        self._writer.append(row)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()
        os.close(self._lock)


def differences(made: dict[str, Any], asked: dict[str, Any], at: str = "") -> list[str]:
    """Where two records differ, in words."""
    found = []
    for key in dict.fromkeys([*made, *asked]):
        old, new = made.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{at}{key}.")
        elif old != new:
            found.append(f"{at}{key} was {json.dumps(old)}, is now {json.dumps(new)}")
    return found
