"""Rows of JSONL files: reading, appending so that a kill loses nothing, and what a row means.

A row is one task (mxeval's fields ``task_id``, ``prompt``, ``language``, ``test`` ..., or CoderEval's ``docstring``)
and, once a team has worked on it, its ``candidates``. Fields nobody here knows are kept as they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.program_java import java_program
from gavel.toolkit.program_python import python_program
from gavel.toolkit.program_text import Program

ASSEMBLERS = {
    "java": (java_program, re.compile(r"^\s*(?:\w+ )*class \w+[^\n]*\{", re.MULTILINE)),
    "python": (python_program, re.compile(r"^(?:async )?(?:def|class) \w+", re.MULTILINE)),
}

Row = dict[str, Any]
Progress = Callable[[int, int], None]  # tasks done, tasks in all


class DatasetError(ToolkitError):
    """A file of rows that cannot be used; the message names file, line and remedy."""


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """All rows of a JSONL file, in order. A last line cut short by a kill is an error here; see RowWriter."""
    file = Path(path)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row = parse(file, number, line)
            task = task_id(row, f"{file}:{number}")
            if task in seen:
                raise DatasetError(
                    f"{file}:{number}: task_id {task!r} stood in line {seen[task]} already; make them unique"
                )
            seen[task] = number
            rows.append(row)
    if not rows:
        raise DatasetError(f"{file}: no rows; expected one JSON object per line")
    return rows


def parse(file: Path, number: int, line: bytes) -> Row:
    """The object in one line of a file."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}:{number}: not JSON ({error}); expected one object per line") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{file}:{number}: a {type(row).__name__} where a JSON object was expected")
    return row


def task_id(row: Row, where: str = "row") -> str:
    identity = row.get("task_id")
    if not isinstance(identity, (str, int)) or identity == "":
        raise DatasetError(f"{where}: task_id is {identity!r}; every row needs one of its own")
    return str(identity)


def prompt(row: Row) -> str:
    """What the candidates continue or answer: ``prompt``, or CoderEval's ``docstring`` and a line break."""
    if row.get("prompt"):
        return str(row["prompt"])
    if row.get("docstring"):
        return str(row["docstring"]) + "\n"
    raise DatasetError(f"task {task_id(row)}: neither prompt nor docstring; a task needs one")


def prompting(row: Row) -> str:
    """``completion`` or ``chat``: the row's own word, else its record of how it was run, else completion."""
    options = (row.get("run") or {}).get("options") or {}
    return str(row.get("prompting") or options.get("prompting") or "completion")


def language(row: Row) -> str:
    return str(row.get("language") or "any").lower()


def tokenizer(row: Row) -> str:
    """SHA-256 of the tokenizer that the candidates' tokens belong to; empty where the row's record does not say."""
    digests = (row.get("run") or {}).get("digests") or {}
    return str(digests.get("tokenizer") or "")


def dataset(row: Row) -> str:
    """The data set a task belongs to: ``dataset`` where given, else what stands before the slash of its task_id."""
    if row.get("dataset"):
        return str(row["dataset"])
    name, slash, _ = task_id(row).rpartition("/")
    return name if slash else "all"


def problem(row: Row) -> str:
    """The problem a task states, in whatever language and suite: its ``source``, else the task itself."""
    return str(row.get("source") or task_id(row))


def apart(rows: Sequence[Row], others: Sequence[Row]) -> None:
    """Refuses problems that are on both sides."""
    known = {problem(row) for row in rows}
    both = sorted({problem(row) for row in others} & known)
    if both:
        raise DatasetError(
            f"{len(both)} problems are in the training and in the validation rows ({', '.join(both[:3])}); split them "
            "with gavel data split"
        )


def program(row: Row, code: str) -> Program:
    """What is run to see whether ``code`` solves the task."""
    test, spoken = row.get("test"), language(row)
    if not test:
        raise DatasetError(f"task {task_id(row)}: no test, so nothing can say which candidates pass")
    if spoken not in ASSEMBLERS:
        raise DatasetError(
            f"task {task_id(row)}: language {row.get('language')!r}; only {' and '.join(ASSEMBLERS)} can be run"
        )
    assemble, opening = ASSEMBLERS[spoken]
    begun = prompt(row)
    if prompting(row) == "chat" and not opening.search(begun):
        begun = ""  # an instruction in words
    return assemble(begun, code, str(test), str(row.get("entry_point") or ""))


def outcomes(row: Row) -> list[bool | None]:
    """Whether each candidate passes its tests; None where the harness failed, so that nobody knows."""
    found = []
    for position, candidate in enumerate(row.get("candidates") or []):
        passed = candidate.get("passed")
        if not isinstance(passed, bool) and candidate.get("status") != "harness_error":
            raise DatasetError(f"task {task_id(row)}: candidate {position} says no `passed`; run `gavel label` first")
        found.append(passed)
    return found


def labelled_rows(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a file that have a candidate whose outcome is known."""
    return [row for row in read_rows(path) if any(outcome is not None for outcome in outcomes(row))]


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes beside and renames, so that readers see the old file or the whole new one."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, file)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def cut_partial_line(path: str | os.PathLike[str]) -> bool:
    """Removes a last line that a kill left without its line break. Says whether there was one."""
    file = Path(path)
    if not file.exists():
        return False
    with file.open("r+b") as rows:
        size = end = rows.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            rows.seek(start)
            at = rows.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end == size:
            return False
        rows.truncate(end)
        return True


def finished_ids(path: str | os.PathLike[str]) -> set[str]:
    """The task_ids of every complete line; a file that is not there has none."""
    file = Path(path)
    if not file.exists():
        return set()
    done: set[str] = set()
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and line.endswith(b"\n"):
                done.add(task_id(parse(file, number, line), f"{file}:{number}"))
    return done


class RowWriter:
    """Appends rows to a JSONL file so that a kill at any moment loses no finished row and repeats none.

    Opening cuts a half-written last line and reads which tasks are ``finished``. Each row goes out in one write, and
    reaches the disk before ``append`` returns.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = True) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume:
            cut_partial_line(self.path)
        self.finished: set[str] = finished_ids(self.path) if resume else set()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if resume else os.O_TRUNC)
        self._fd = os.open(self.path, flags, 0o644)

    def append(self, row: Row) -> None:
        task = task_id(row)
        if task in self.finished:
            raise DatasetError(f"{self.path}: task {task!r} is there already")
        line = json.dumps(row, ensure_ascii=False, separators=(", ", ": ")).encode() + b"\n"
        before = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            while written < len(line):
                written += os.write(self._fd, line[written:])
            os.fsync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, before)  # a full disk must not leave half a row behind
            raise OSError(
                error.errno,
                f"writing task {task!r}: {error.strerror}; free space and run again to resume",
                str(self.path),
            ) from error
        self.finished.add(task)

    def pending(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that are not finished yet, in order."""
        return (row for row in rows if task_id(row) not in self.finished)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
