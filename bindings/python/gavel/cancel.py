"""Ending a long call early."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gavel._ffi import check, ffi, handle, lib
from gavel._interrupt import interruptible


class Cancel:
    """Ends calls early, from any thread or at a deadline; they then raise `Cancelled`.

    One object may be given to several calls; once triggered it ends every later one too.
    """

    def __init__(self, timeout: float | None = None) -> None:
        new = ffi.new("gavel_cancel **")
        check(lib().gavel_cancel_create(new))
        self._handle: Any = handle(new, lib().gavel_cancel_destroy)
        if timeout is not None:
            self.set_timeout(timeout)

    def trigger(self) -> None:
        """Ends the calls under way with this object, and every later one."""
        check(lib().gavel_cancel_trigger(self._handle))

    def set_timeout(self, seconds: float | None) -> None:
        """Calls begun from now on end that many seconds from now; None takes the deadline away."""
        check(lib().gavel_cancel_set_deadline(self._handle, math.nan if seconds is None else seconds))

    @property
    def due(self) -> bool:
        """Whether it was triggered or its deadline has passed."""
        out = ffi.new("int32_t *")
        check(lib().gavel_cancel_is_due(out, self._handle))
        return bool(out[0])


@contextmanager
def cancellation(cancel: Cancel | None, timeout: float | None) -> Iterator[Any]:
    """The gavel_cancel of one call, which Ctrl-C triggers too."""
    if cancel is None:
        cancel = Cancel(timeout)
    elif timeout is not None:
        cancel.set_timeout(timeout)
    with interruptible(cancel._handle):
        yield cancel._handle
