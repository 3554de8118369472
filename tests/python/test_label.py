"""Labelling: what programs are said to do, and what they cannot do to the machine that runs them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gavel.toolkit import datasets
from gavel.toolkit import sandbox as sandboxes
from gavel.toolkit.datasets import DatasetError
from gavel.toolkit.execute import JavaPrograms, PythonPrograms, Result
from gavel.toolkit.label import label
from gavel.toolkit.sandbox import MIB, Limits, NoSandbox, Sandbox, SandboxError

LIMITS = Limits(seconds=10, memory=256 * MIB)
SHORT = Limits(seconds=1.5, memory=256 * MIB)


def works() -> str:
    try:
        Sandbox().check()
    except SandboxError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(works()), reason=works() or "the sandbox works")
needs_java = pytest.mark.skipif(
    shutil.which("javac") is None, reason="no JDK here: apt-get install openjdk-17-jdk-headless"
)


@pytest.fixture(scope="module")
def java() -> Iterator[JavaPrograms]:
    programs = JavaPrograms(Sandbox)
    yield programs
    programs.close()


def python(body: str, limits: Limits = LIMITS) -> Result:
    return PythonPrograms(Sandbox()).run(f"def square(x):\n    {body}\n\nassert square(3) == 9\n", limits)


def java_program(body: str) -> str:
    test = 'if (A.square(3) != 9) throw new Exception("no");'
    return (
        f"class A {{ static int square(int x) throws Exception {{ {body} }} }}\n"
        f"class Main {{ public static void main(String[] a) throws Exception {{ {test} }} }}\n"
    )


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "feedback", "detail"),
    [
        ("return x * x", "pass", ""),
        ("return x + x", "exec error", "AssertionError"),
        ("return (", "compile error", "SyntaxError"),
        ("return nothing", "exec error", "NameError"),
        ("import sys; sys.exit(0)", "exec error", "before its tests did"),
        ("import os; os._exit(0)", "exec error", "before its tests did"),
        ("many = [bytearray(1 << 20) for _ in range(10 ** 6)]", "memory", "MemoryError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exec error", "139"),
    ],
)
def test_python(body: str, feedback: str, detail: str) -> None:
    result = python(body)
    assert (result.feedback, result.passed) == (feedback, feedback == "pass")
    assert detail in result.detail


@needs_sandbox
def test_endless_programs_time_out() -> None:
    for body in (
        "while True: pass",
        "import time; time.sleep(60)",
        "import sys\n    while True: sys.stderr.write('x' * 99999)",
    ):
        started = time.monotonic()
        result = python(body, SHORT)
        assert result.feedback == "timeout"
        assert time.monotonic() - started < 5
        assert len(result.detail) < 600


@needs_sandbox
@pytest.mark.parametrize(
    "reach",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
        "open('/usr/bin/gavel-was-here', 'w')",
        "open('/gavel-was-here', 'w')",
        "open('/dev/shm/gavel-was-here', 'w')",
        "open('/box/program.py', 'w')",
        "open({secret!r})",
        "import os; os.listdir('/root'); os.listdir('/home')",
        "import os; os.kill({pid}, 0)",
    ],
)
def test_python_reaches_nothing_outside(reach: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = reach.format(port=server.getsockname()[1], secret=str(secret), pid=os.getpid())
        result = python(f"{reach}\n    return x * x")
    assert result.feedback == "exec error"
    assert "Error" in result.detail


@needs_sandbox
def test_private_tmp_is_there_small_and_gone_afterwards() -> None:
    assert python("open('/tmp/gavel-was-here', 'w').write('x'); return x * x").passed
    assert not Path("/tmp/gavel-was-here").exists()
    filled = python("[open(f'/tmp/{n}', 'wb').write(bytes(8 << 20)) for n in range(20)]; return x * x")
    assert "No space left" in filled.detail


@needs_sandbox
def test_environment_is_empty() -> None:
    os.environ["GAVEL_SECRET"] = "mine"
    try:
        assert python(
            "import os; assert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'PWD'}, os.environ; return x * x"
        ).passed
    finally:
        del os.environ["GAVEL_SECRET"]


@needs_sandbox
def test_fork_bomb_is_contained() -> None:
    bomb = "import os, time\n    while True:\n        try: os.fork()\n        except OSError: time.sleep(0.01)"
    most = 0
    with Sandbox().start(["/usr/bin/python3", "-c", f"if 1:\n    {bomb}"], {}, LIMITS) as process:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            most = max(most, len(descendants(process.pid)))
            time.sleep(0.05)
    assert 10 < most <= LIMITS.processes + 5  # bubblewrap's own few beside them
    assert not [pid for pid in descendants(process.pid) if Path(f"/proc/{pid}").exists()]


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


@needs_sandbox
@needs_java
@pytest.mark.parametrize(
    ("body", "feedback", "detail"),
    [
        ("return x * x;", "pass", ""),
        ("return x + x;", "exec error", "java.lang.Exception: no"),
        ("return y;", "compile error", "cannot find symbol"),
        ("return x * x; } } class Main { void f() {", "compile error", "duplicate class"),
        ("System.exit(0); return 0;", "exec error", "before its tests did"),
        ("return square(x);", "exec error", "StackOverflowError"),
        (
            "var all = new java.util.ArrayList<int[]>(); while (true) all.add(new int[1 << 20]);",
            "memory",
            "OutOfMemoryError",
        ),
        ('new java.net.Socket("127.0.0.1", 80); return 9;', "exec error", "Exception"),
        ('new java.io.FileWriter("/box/x"); return 9;', "exec error", "Read-only file system"),
        ('new ProcessBuilder("/bin/sh", "-c", "echo x > /usr/x").start().waitFor(); return x;', "exec error", "no"),
    ],
)
def test_java(java: JavaPrograms, body: str, feedback: str, detail: str) -> None:
    result = java.run(java_program(body), LIMITS)
    assert (result.feedback, result.passed) == (feedback, feedback == "pass"), result.detail
    assert detail in result.detail


@needs_sandbox
@needs_java
def test_java_times_out_and_goes_on(java: JavaPrograms) -> None:
    assert java.run(java_program("while (true) {}"), SHORT).feedback == "timeout"
    threads = (
        "while (true) { try { new Thread(() -> { while (true) {} }).start(); } catch (Error e) { Thread.sleep(9); } }"
    )
    assert java.run(java_program(threads), SHORT).feedback == "timeout"
    assert java.run(java_program("return x * x;"), LIMITS).passed


@needs_sandbox
@needs_java
def test_a_program_that_ends_the_compiler_costs_only_itself(java: JavaPrograms) -> None:
    deep = "return " + "(" * 60_000 + "x" + ")" * 60_000 + ";"
    assert java.run(java_program(deep), LIMITS).feedback == "compile error"
    assert java.run(java_program("return x * x;"), LIMITS).passed


def rows(count: int) -> list[datasets.Row]:
    codes = ["return x * x", "return x", "return x * x", "return ("]
    return [
        {
            "task_id": f"t/{number}",
            "language": "python",
            "prompt": "def square(x):\n    ",
            "entry_point": "square",
            "test": "def check(candidate):\n    assert candidate(3) == 9\n",
            "kept": {"as": "it is"},
            "candidates": [{"code": code, "index": index} for index, code in enumerate(codes)],
        }
        for number in range(count)
    ]


def write(path: Path, content: list[datasets.Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


@needs_sandbox
def test_rows_get_their_labels_and_duplicates_run_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = write(tmp_path / "in.jsonl", rows(3))
    summary = label(source, tmp_path / "out.jsonl", progress=lambda done, total: seen.append((done, total)))
    assert (summary.tasks, summary.candidates, summary.executed) == (3, 12, 9)
    assert summary.feedback == {"pass": 6, "exec error": 3, "compile error": 3}
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for before, after in zip(rows(3), datasets.read_rows(tmp_path / "out.jsonl"), strict=True):
        assert [candidate["passed"] for candidate in after["candidates"]] == [True, False, True, False]
        assert [candidate["index"] for candidate in after["candidates"]] == [0, 1, 2, 3]
        assert {**after, "candidates": None} == {**before, "candidates": None}


@needs_sandbox
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl", rows(12)), tmp_path / "out.jsonl"
    script = f"from gavel.toolkit.label import label; label({str(source)!r}, {str(output)!r}, jobs=1)"
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | path)
    deadline = time.monotonic() + 60
    while (not output.exists() or output.read_bytes().count(b"\n") < 3) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with output.open("ab") as partial:
        partial.write(b'{"task_id": "t/')
    summary = label(source, output)
    assert 3 <= summary.resumed < 12
    assert [row["task_id"] for row in datasets.read_rows(output)] == [f"t/{number}" for number in range(12)]
    assert label(source, output).resumed == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"language": "cobol"}, "language 'cobol'; only java and python"),
        ({"test": ""}, "no test"),
        ({"candidates": None}, "no candidates"),
    ],
)
def test_rows_that_cannot_be_run_are_refused_before_anything_runs(tmp_path: Path, change: dict, said: str) -> None:
    source = write(tmp_path / "in.jsonl", [*rows(1), {**rows(2)[1], **change}])
    with pytest.raises(DatasetError, match=said):
        label(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_input_is_not_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", rows(1))
    with pytest.raises(DatasetError, match="same file"):
        label(source, source)
    with pytest.raises(ValueError, match="timeout 0"):
        label(source, tmp_path / "out.jsonl", timeout=0)


def test_without_bubblewrap_it_refuses_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(sandboxes.shutil, "which", lambda tool: None if tool == "bwrap" else which(tool))
    source = write(tmp_path / "in.jsonl", rows(1))
    with pytest.raises(SandboxError, match="apt-get install bubblewrap, or pass --no-sandbox"):
        label(source, tmp_path / "out.jsonl")
    summary = label(source, tmp_path / "out.jsonl", sandbox=False)
    assert summary.feedback == {"pass": 2, "exec error": 1, "compile error": 1}


@needs_java
def test_java_without_sandbox() -> None:
    programs = JavaPrograms(NoSandbox)
    try:
        assert programs.run(java_program("return x * x;"), LIMITS).passed
    finally:
        programs.close()
