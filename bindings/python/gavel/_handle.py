"""What every object over a handle shares: closing, and refusing two calls at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from gavel._ffi import ffi
from gavel.errors import InvalidArgument


class Handle:
    """An object of the library. Closed by ``close``, by leaving a ``with`` block, or when nothing refers to it."""

    def __init__(self, cdata: Any) -> None:
        self._cdata: Any = cdata
        self._lock = threading.Lock()

    @property
    def _handle(self) -> Any:
        if self._cdata is None:
            raise InvalidArgument(f"this {type(self).__name__} is closed; open a new one")
        return self._cdata

    def close(self) -> None:
        """Frees it now. Closing twice is fine; objects made from it live on."""
        with exclusive(self):
            if self._cdata is not None:
                ffi.release(self._cdata)
                self._cdata = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def exclusive(*objects: Handle) -> Iterator[None]:
    """One call at a time: calls release the GIL, and these objects are not for several threads."""
    with ExitStack() as stack:
        for each in objects:
            if not each._lock.acquire(blocking=False):
                kind = type(each).__name__
                raise InvalidArgument(f"this {kind} is in use by another call; make one {kind} per thread")
            stack.callback(each._lock.release)
        yield
