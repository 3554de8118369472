"""Ctrl-C while the main thread is inside the library.

Python runs its signal handlers between bytecodes, and there are none during a long call. What does happen at once is
that the C-level handler writes to the wake-up file descriptor: a thread reads it there and triggers the call's
cancellation, the call returns, and Python raises KeyboardInterrupt as it always does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gavel._ffi import lib


class _Watcher:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._cancel: Any = None
        self._forward = -1
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        threading.Thread(target=self._watch, name="gavel-interrupt", daemon=True).start()

    def _watch(self) -> None:
        while True:
            signals = os.read(self._read, 64)
            with self._lock:
                if self._cancel is not None and signal.SIGINT in signals:
                    lib().gavel_cancel_trigger(self._cancel)
                if self._forward >= 0:
                    os.write(self._forward, signals)

    @contextmanager
    def watching(self, cancel: Any) -> Iterator[None]:
        before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if before == self._write:  # a call made in a callback of another: the outer one is cancelled
            yield
            return
        with self._lock:
            self._cancel, self._forward = cancel, before
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            with self._lock:
                self._cancel, self._forward = None, -1


_watcher: _Watcher | None = None


@contextmanager
def interruptible(cancel: Any) -> Iterator[None]:
    """Ctrl-C triggers this gavel_cancel meanwhile; only where Ctrl-C would raise KeyboardInterrupt here."""
    global _watcher
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    if _watcher is None or _watcher.pid != os.getpid():
        _watcher = _Watcher()
    with _watcher.watching(cancel):
        yield
