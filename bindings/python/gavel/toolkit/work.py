"""Work on rows, apart from where it is done: what opens a worker, and what one does."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from gavel.toolkit.datasets import Row


class Worker(Protocol):
    """Has open what it needs, and turns one row into its result."""

    @property
    def facts(self) -> Any:
        """What it says of itself: the same wherever the same recipe is opened, and compared with ``==``."""

    def work(self, row: Row) -> Row: ...


class Recipe(Protocol):
    """What it takes to open a worker, as plain values: it is pickled to other machines, so its paths are absolute."""

    def open(self) -> AbstractContextManager[Worker]: ...
