"""Runs programs side by side, and one that did not finish in time once more alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from gavel.toolkit.execute import JavaPrograms, PythonPrograms, Result
from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import Limits, NoSandbox, Sandbox


@dataclass(frozen=True)
class Label:
    """A result, and whether a second run alone said otherwise than the first."""

    result: Result
    flipped: bool = False

    def fields(self) -> dict[str, Any]:
        said: dict[str, Any] = {"status": self.result.status}
        if self.result.status != "harness_error":
            said["passed"] = self.result.passed
        if self.result.feedback:
            said["feedback"] = asdict(self.result.feedback)
        return said | ({"flipped": True} if self.flipped else {})


class Pool:
    """``jobs`` threads, each of which runs one program at a time."""

    def __init__(self, languages: Iterable[str], jobs: int, limits: Limits, sandboxed: bool) -> None:
        kind = Sandbox if sandboxed else NoSandbox
        kind().check()
        self._limits = limits
        self._gate = _Gate()
        self._open = ExitStack()
        self._runners: dict[str, JavaPrograms | PythonPrograms] = {}
        if "java" in languages:
            self._runners["java"] = self._open.enter_context(JavaPrograms(kind))
        if "python" in languages:
            self._runners["python"] = PythonPrograms(kind())
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="label")
        self._open.callback(self._threads.shutdown, cancel_futures=True)

    def start(self, language: str, programs: dict[str, Program]) -> dict[str, Future[Label]]:
        """Labels to come, under the programs' names."""
        return {code: self._threads.submit(self._label, language, program) for code, program in programs.items()}

    def _label(self, language: str, program: Program) -> Label:
        run = self._runners[language].run
        with self._gate.beside_others():
            first = run(program, self._limits)
        if first.status != "timeout":
            return Label(first)
        with self._gate.alone():
            second = run(program, self._limits)
        return Label(second, flipped=second.status != "timeout")

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class _Gate:
    """Many may be inside together, or one alone; whoever waits to be alone goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            self._leave(-1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            self._leave(1)

    def _leave(self, change: int) -> None:
        with self._changed:
            self._inside += change
            self._changed.notify_all()
