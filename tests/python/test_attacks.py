"""Attacks: each ends as a failed candidate, within its limits, and leaves the machine as it was."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from programs import LIMITS, SHORT, java_program, needs_java, needs_sandbox, python

from gavel.toolkit.execute import Feedback, JavaPrograms
from gavel.toolkit.sandbox import MIB, Sandbox

pytestmark = needs_sandbox
LEFT = "sleep\x004711"  # a process that daemons leave


@pytest.fixture(scope="module")
def java() -> Iterator[JavaPrograms]:
    with JavaPrograms(Sandbox) as programs:
        yield programs


def gone(command: str) -> bool:
    """Whether nothing runs it any more: a namespace ends a moment after its first process."""
    deadline = time.monotonic() + 5
    while running(command) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(command)


def running(command: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if command in path.read_text(errors="replace") else []
        except OSError:
            continue
    return found


@pytest.mark.parametrize("body", ["while True: pass", "import time; time.sleep(60)"])
def test_sleeping_and_spinning(body: str) -> None:
    started = time.monotonic()
    assert python(body, SHORT).status == "timeout"
    assert time.monotonic() - started < 5


def test_output_flood() -> None:
    result = python("import sys\n    while True: sys.stderr.write('x' * 99999)")
    assert result.feedback == Feedback("OutputLimit", "it wrote more than it may")


def test_memory_bomb_of_many_processes() -> None:
    body = "import os, time\n    for n in range(4): os.fork()\n    x = bytearray(64 * 2**20); time.sleep(60)"
    started = time.monotonic()
    assert python(body, replace(LIMITS, seconds=30, resident=256 * MIB)).status == "out_of_memory"
    assert time.monotonic() - started < 25


@pytest.mark.parametrize(
    "reach",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
        "open('/usr/bin/gavel-was-here', 'w')",
        "open('/gavel-was-here', 'w')",
        "open('/dev/shm/gavel-was-here', 'w')",
        "open('/box/candidate.py', 'w')",
        "open({secret!r})",
        "import os; os.listdir('/root'); os.listdir('/home')",
        "import os; os.kill({pid}, 0)",
        "import os; os.setuid(0)",
    ],
)
def test_nothing_outside_is_reached(reach: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = reach.format(port=server.getsockname()[1], secret=str(secret), pid=os.getpid())
        result = python(f"{reach}\n    return x * x")
    assert result.status == "exception"
    assert result.feedback is not None and "Error" in result.feedback.kind


def test_private_tmp_is_there_small_and_gone_afterwards() -> None:
    assert python("open('/tmp/gavel-was-here', 'w').write('x'); return x * x").passed
    assert not Path("/tmp/gavel-was-here").exists()
    filled = python("[open(f'/tmp/{n}', 'wb').write(bytes(8 << 20)) for n in range(20)]; return x * x")
    assert filled.feedback is not None and "No space left" in filled.feedback.message
    big = python("f = open('/tmp/big', 'wb')\n    for n in range(40): f.write(bytes(1 << 20))\n    return x * x")
    assert not big.passed


def test_environment_is_empty() -> None:
    os.environ["GAVEL_SECRET"] = "mine"
    try:
        assert python(
            "import os; assert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'PWD'}, os.environ; return x * x"
        ).passed
    finally:
        del os.environ["GAVEL_SECRET"]


def test_a_candidate_has_no_rights() -> None:
    assert python("import os; assert os.getuid() != 0; return x * x").passed
    capabilities = "open('/proc/self/status').read().split('CapEff:')[1].split()[0]"
    assert python(f"assert int({capabilities}, 16) == 0; return x * x").passed


def test_fork_bomb() -> None:
    bomb = "import os, time\n    while True:\n        try: os.fork()\n        except OSError: time.sleep(0.01)"
    most = 0
    with Sandbox().start(["/usr/bin/python3", "-c", f"if 1:\n    {bomb}"], {}, LIMITS) as process:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            most = max(most, len(descendants(process.pid)))
            time.sleep(0.05)
    assert 10 < most <= LIMITS.processes + 5  # bubblewrap's own few beside them
    assert not [pid for pid in descendants(process.pid) if Path(f"/proc/{pid}").exists()]
    assert not python(bomb, SHORT).passed


def descendants(parent: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(stat.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue
    found = [parent]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


@pytest.mark.parametrize(
    "body",
    [
        "import os\n    if os.fork() == 0: os.setsid(); os.execvp('sleep', ['sleep', '4711'])\n    return x * x",
        "import subprocess as s; s.Popen(['sleep', '4711'], stdout=s.DEVNULL, stderr=s.DEVNULL); return x * x",
    ],
)
def test_daemons(body: str) -> None:
    assert python(body, SHORT).status in ("exception", "timeout")
    assert gone(LEFT)


@pytest.mark.parametrize("target", ["os.getppid()", "-1", "1"])
def test_killing_its_parent(target: str) -> None:
    assert not python(f"import os, signal; os.kill({target}, signal.SIGKILL); return 0", SHORT).passed
    assert python("return x * x").passed


@needs_java
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('new java.net.Socket("127.0.0.1", 80); return 9;', "java.net.ConnectException"),
        ('new java.io.FileWriter("/box/x"); return 9;', "java.io.FileNotFoundException"),
        ('return java.nio.file.Files.list(java.nio.file.Path.of("/root")).count() < 0 ? 9 : 0;', ""),
        ('new ProcessBuilder("sleep", "4711").start(); return 9;', "LeftProcesses"),
        ('while (true) System.out.println("x".repeat(9999));', "OutputLimit"),
    ],
)
def test_java_attacks(java: JavaPrograms, body: str, kind: str) -> None:
    result = java.run(java_program(body), LIMITS)
    assert not result.passed and result.feedback is not None
    assert kind in result.feedback.kind
    assert gone(LEFT)


@needs_java
def test_java_times_out_and_goes_on(java: JavaPrograms) -> None:
    assert java.run(java_program("while (true) {}"), SHORT).status == "timeout"
    threads = (
        "while (true) { try { new Thread(() -> { while (true) {} }).start(); } catch (Error e) { Thread.sleep(9); } }"
    )
    assert java.run(java_program(threads), SHORT).status == "timeout"
    assert java.run(java_program("return x * x;"), LIMITS).passed
