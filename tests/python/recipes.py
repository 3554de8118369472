"""Workers of the tests of toolkit.cluster, in a module that the cluster's processes can import."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gavel.toolkit.datasets import Row


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Doubling:
    """Doubles a row's number, and notes in a folder that it did."""

    notes: Path
    facts_from: str = ""
    """An environment variable that facts hold."""
    dies_on: str = ""
    """The node, by its environment variable NODE, on which opening ends the process."""
    facts: str = field(default="", init=False)

    @contextmanager
    def open(self) -> Iterator[Doubling]:
        if self.dies_on and os.environ["NODE"] == self.dies_on:
            die()
        object.__setattr__(self, "facts", os.environ.get(self.facts_from, ""))
        yield self

    def work(self, row: Row) -> Row:
        if row["do"] == "die":
            die()
        if row["do"] == "fail":
            raise FileNotFoundError(2, "not there", row["task_id"])
        with (self.notes / row["task_id"]).open("a") as note:
            note.write("done\n")
        return row | {"doubled": 2 * row["number"]}
