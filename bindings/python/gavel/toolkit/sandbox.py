"""Runs a program nobody vouches for: bubblewrap without network or home, limits, a deadline, capped output.

Inside there are the system's programs (read-only), an empty small ``/tmp`` and the files the caller passes, which
travel as memory and never touch the disk. Started by root, the sandbox runs as *nobody*: the kernel does not count
root's processes, and a fork bomb would not be contained. Bounds are the kernel's rlimits for each process, and a
watch over memory and output of all processes together, since not every machine lets us make a cgroup.
"""

from __future__ import annotations

import math
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gavel.toolkit.errors import ToolkitError

NOBODY = 65534
END_BYTES = 2048  # kept of either end of each stream; what lies between is read and dropped
WATCH_SECONDS = 0.1  # between two looks at the memory of all processes
MIB = 1 << 20


class SandboxError(ToolkitError):
    """The sandbox cannot run here; the message says what to do."""


Ended = Literal["time", "memory", "output"]


@dataclass(frozen=True)
class Limits:
    """What one program may take."""

    seconds: float = 10.0  # on the clock; and this much of each of two processors, for each process
    memory: int = 512 * MIB  # address space of each process
    resident: int = 768 * MIB  # private memory of all processes together
    processes: int = 64  # and threads
    file_size: int = 16 * MIB
    output: int = 64 * MIB  # of both streams together


@dataclass(frozen=True)
class Outcome:
    """How a program ended; ``status`` is its exit status, 128 + n where signal n ended it."""

    status: int
    ended_for: Ended | None  # why it was ended from outside, if it was
    stdout: str
    stderr: str


class Sandbox:
    """Starts commands in bubblewrap. ``{box}`` in a command stands for the folder that holds the passed files."""

    processes = "alone"  # or "shared": whether a program inside sees no processes but its own

    def __init__(self, read_only: Sequence[str | Path] = ()) -> None:
        self._read_only = [str(path) for path in read_only]

    def check(self) -> None:
        """Raises SandboxError unless a harmless program runs inside."""
        for tool, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux"), ("choom", "util-linux")):
            if shutil.which(tool) is None:
                raise SandboxError(
                    f"{tool} is not installed, and without it candidates would run unconfined: "
                    f"apt-get install {package}, or pass --no-sandbox if you trust the candidates"
                )
        outcome = self.run(["true"], {}, Limits(seconds=20))
        if outcome.status != 0:
            said = outcome.stderr.strip() or "no message"
            raise SandboxError(
                f"bubblewrap does not work here (exit status {outcome.status}: {said}); allow unprivileged "
                "user namespaces (sysctl kernel.unprivileged_userns_clone=1), or pass --no-sandbox if you trust the "
                "candidates"
            )

    def run(self, command: Sequence[str], files: Mapping[str, bytes], limits: Limits, stdin: bytes = b"") -> Outcome:
        """Runs to the end or to a limit, whichever comes first. ``stdin`` is at most 4096 bytes."""
        with self.start(command, files, limits) as process:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(stdin)
                process.stdin.close()
            return _watch(process, limits)

    @contextmanager
    def start(
        self, command: Sequence[str], files: Mapping[str, bytes], limits: Limits
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A running program with pipes; it and all it started are gone when the block ends."""
        descriptors = {name: _in_memory(content) for name, content in files.items()}
        try:
            inside = [part.replace("{box}", "/box") for part in command]
            process = subprocess.Popen(
                self._bwrap(descriptors) + _limited(inside, limits),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=list(descriptors.values()),
                start_new_session=True,
                **_unprivileged(),
            )
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)
        with _ended(process):
            yield process

    def _bwrap(self, descriptors: Mapping[str, int]) -> list[str]:
        words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
        for name, value in {"PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}.items():
            words += ["--setenv", name, value]
        words += ["--ro-bind", "/usr", "/usr"]
        for link in ("bin", "lib", "lib64"):
            if Path("/", link).is_symlink():
                words += ["--symlink", f"usr/{link}", f"/{link}"]
            else:
                words += ["--ro-bind-try", f"/{link}", f"/{link}"]
        for path in ["/etc/ld.so.cache", *self._read_only]:
            words += ["--ro-bind-try", path, path]
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(64 * MIB), "--tmpfs", "/tmp"]
        for name, descriptor in descriptors.items():
            words += ["--ro-bind-data", str(descriptor), f"/box/{name}"]
        return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


class NoSandbox(Sandbox):
    """The same limits and deadline, but the machine's own files, network and user: for trusted candidates only."""

    processes = "shared"

    def check(self) -> None:
        if shutil.which("prlimit") is None:
            raise SandboxError("prlimit is not installed: apt-get install util-linux")

    @contextmanager
    def start(
        self, command: Sequence[str], files: Mapping[str, bytes], limits: Limits
    ) -> Iterator[subprocess.Popen[bytes]]:
        with tempfile.TemporaryDirectory(prefix="gavel-") as box:
            for name, content in files.items():
                Path(box, name).write_bytes(content)
            process = subprocess.Popen(
                _limited([part.replace("{box}", box) for part in command], limits, count_processes=False),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=box,
                env={"PATH": "/usr/bin:/bin", "HOME": box, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
            with _ended(process):
                yield process


def _limited(command: list[str], limits: Limits, count_processes: bool = True) -> list[str]:
    # choom: where memory runs out, the kernel is to end the candidate and nothing else.
    words = ["choom", "-n", "1000", "--", "prlimit", f"--as={limits.memory}", f"--fsize={limits.file_size}", "--core=0"]
    processor = math.ceil(2 * limits.seconds)
    words.append(f"--cpu={processor}:{processor + 1}")
    if count_processes:  # outside a user namespace the limit would count the user's whole desktop
        words.append(f"--nproc={limits.processes}")
    return [*words, "--", *command]


def _unprivileged() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("gavel")
    with os.fdopen(os.dup(descriptor), "wb") as out:
        out.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


class _Ends:
    """The first and the last bytes of a stream of any length."""

    def __init__(self) -> None:
        self._first = b""
        self._last = b""
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        room = END_BYTES - len(self._first)
        self._first += piece[:room]
        self._last = (self._last + piece[room:])[-END_BYTES:]

    def text(self) -> str:
        return (self._first + self._last).decode(errors="replace")


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> Outcome:
    stdout, stderr = _Ends(), _Ends()
    ended_for = _wait(process, limits, stdout, stderr)
    status = -signal.SIGKILL if ended_for else process.wait()
    return Outcome(128 - status if status < 0 else status, ended_for, stdout.text(), stderr.text())


def _wait(process: subprocess.Popen[bytes], limits: Limits, stdout: _Ends, stderr: _Ends) -> Ended | None:
    """Reads both streams until the program ends, or has taken too much of something."""
    deadline = time.monotonic() + limits.seconds
    look = time.monotonic() + WATCH_SECONDS
    with selectors.DefaultSelector() as ready:
        for stream, ends in ((process.stdout, stdout), (process.stderr, stderr)):
            assert stream is not None
            ready.register(stream, selectors.EVENT_READ, ends)
        while ready.get_map():
            now = time.monotonic()
            if now >= deadline:
                return "time"
            if now >= look:
                if _private_memory(process.pid) > limits.resident:
                    return "memory"
                look = time.monotonic() + WATCH_SECONDS
            for key, _ in ready.select(max(0.0, min(deadline, look) - now)):
                piece = os.read(key.fd, 65536)
                if not piece:
                    ready.unregister(key.fileobj)
                key.data.add(piece)
            if stdout.size + stderr.size > limits.output:
                return "output"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "time"
    return None


def _private_memory(pid: int) -> int:
    """Bytes that a process and its descendants hold and share with no file (proc(5), statm)."""
    pages, waiting = 0, [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        with suppress(OSError):  # it may end while we look
            _, resident, shared, *_ = (process / "statm").read_bytes().split()
            pages += int(resident) - int(shared)
            for children in process.glob("task/*/children"):
                waiting += [int(child) for child in children.read_bytes().split()]
    return pages * os.sysconf("SC_PAGE_SIZE")
