"""Does a program pass? Python and Java programs, run in a sandbox; the end of their tests is the only success."""

from __future__ import annotations

import os
import queue
import re
import secrets
import selectors
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from gavel.toolkit.sandbox import MIB, Limits, Outcome, Sandbox, SandboxError

RUNNERS = Path(__file__).parent / "runners"
COMPILE_ERROR = 97  # exit status of run_program.py; any other word of its own would do
COMPILE_SECONDS = 60.0  # javac always ends; this is for a machine that is busy
DETAIL_CHARACTERS = 500
JVM = [
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:CompressedClassSpaceSize=64m",
]
OUT_OF_MEMORY = re.compile(
    r"^MemoryError|java\.lang\.OutOfMemoryError|insufficient memory for the Java Runtime|Cannot allocate memory",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Result:
    """What a program's run said: ``feedback`` is pass, compile error, exec error, timeout or memory."""

    passed: bool
    feedback: str
    detail: str = ""  # its error output, shortened


class PythonPrograms:
    """Runs Python programs with the distribution's interpreter, isolated from its environment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._runner = (RUNNERS / "run_program.py").read_bytes()
        if not Path("/usr/bin/python3").exists():
            raise SandboxError(
                "/usr/bin/python3 is not installed, and Python candidates need it: apt-get install python3"
            )

    def run(self, program: str, limits: Limits) -> Result:
        word = secrets.token_hex(16)
        files = {"run_program.py": self._runner, "program.py": program.encode(errors="replace")}
        command = ["/usr/bin/python3", "-I", "{box}/run_program.py", word, "{box}/program.py", str(COMPILE_ERROR)]
        outcome = self._sandbox.run(command, files, limits)
        if outcome.status == COMPILE_ERROR:
            return Result(False, "compile error", _brief(outcome.stderr))
        return classify(outcome, word)

    def close(self) -> None:
        pass


class JavaPrograms:
    """Compiles with warm compilers, one for each thread that asks; every program runs in its own virtual machine."""

    def __init__(self, sandbox: Callable[[list[Path]], Sandbox]) -> None:
        home = java_home()
        self._sandbox = sandbox([home, *sorted(Path("/etc").glob("java-*"))])
        self._java = str(home / "bin" / "java")
        self._idle: queue.LifoQueue[JavaCompiler] = queue.LifoQueue()
        self._open = ExitStack()

    def run(self, program: str, limits: Limits) -> Result:
        try:
            compiled, answer = self._compile(program, limits)
        except TimeoutError:
            return Result(False, "timeout", "javac did not finish")
        except CompilerGone as gone:
            return Result(False, "compile error", str(gone))
        if not compiled:
            return Result(False, "compile error", answer.decode(errors="replace")[:DETAIL_CHARACTERS])
        word = secrets.token_hex(16)
        heap = limits.memory // MIB
        command = [
            self._java,
            *JVM,
            f"-Xmx{heap}m",
            "-XX:MaxMetaspaceSize=64m",
            "-cp",
            "{box}/program.jar",
            "GavelLauncher",
            word,
        ]
        # The heap is the limit; beside it a virtual machine reserves address space that it never touches.
        outcome = self._sandbox.run(
            command, {"program.jar": answer}, replace(limits, memory=limits.memory + 1024 * MIB)
        )
        return classify(outcome, word)

    def _compile(self, program: str, limits: Limits) -> tuple[bool, bytes]:
        try:
            compiler = self._idle.get_nowait()
        except queue.Empty:
            compiler = self._open.enter_context(JavaCompiler(self._sandbox, self._java))
        try:
            answer = compiler.compile(program, COMPILE_SECONDS)
        except BaseException:
            compiler.close()
            raise
        self._idle.put(compiler)
        return answer

    def close(self) -> None:
        self._open.close()


class CompilerGone(RuntimeError):
    """The compiler's process ended by itself; another can take its place."""


class JavaCompiler:
    """A warm javac in a sandbox: a cold one costs more than compiling and running a small program."""

    def __init__(self, sandbox: Sandbox, java: str) -> None:
        source = (RUNNERS / "CompileServer.java").read_bytes()
        limits = Limits(memory=2048 * MIB)
        command = [java, *JVM, "-Xmx384m", "-Xss4m", "{box}/CompileServer.java"]
        self._context: AbstractContextManager[subprocess.Popen[bytes]] = sandbox.start(
            command, {"CompileServer.java": source}, limits
        )
        self._process = self._context.__enter__()
        self._closed = False
        try:
            self._read(1, time.monotonic() + COMPILE_SECONDS)
        except CompilerGone as gone:
            self.close()
            raise SandboxError(f"{gone}; a whole JDK is needed: apt-get install openjdk-17-jdk-headless") from gone
        except BaseException:
            self.close()
            raise

    def compile(self, program: str, seconds: float) -> tuple[bool, bytes]:
        """(True, a jar) or (False, the errors). After TimeoutError or CompilerGone this compiler is of no more use."""
        source = program.encode(errors="replace")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack(">i", len(source)) + source)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise CompilerGone(f"javac ended: {self._last_words()}") from error
        deadline = time.monotonic() + seconds
        failed, length = struct.unpack(">bi", self._read(5, deadline))
        return not failed, self._read(length, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        content = b""
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while len(content) < size:
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError("javac did not answer in time")
                piece = os.read(stream.fileno(), size - len(content))
                if not piece:
                    raise CompilerGone(f"javac ended: {self._last_words()}")
                content += piece
        return content

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        return _brief(self._process.stderr.read().decode(errors="replace")) or "no message"

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._context.__exit__(None, None, None)

    def __enter__(self) -> JavaCompiler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def java_home() -> Path:
    """The JDK of JAVA_HOME, or the one behind ``javac`` on the path."""
    javac = Path(os.environ["JAVA_HOME"], "bin", "javac") if os.environ.get("JAVA_HOME") else shutil.which("javac")
    if javac is None or not Path(javac).exists():
        raise SandboxError(
            f"no Java compiler at {javac or 'any folder of PATH'}, and Java candidates need one: apt-get install "
            "openjdk-17-jdk-headless, or set JAVA_HOME"
        )
    return Path(javac).resolve().parent.parent


def classify(outcome: Outcome, word: str) -> Result:
    """The verdict of a run whose last act, if its tests came to their end, was to say ``word``."""
    detail = _brief(outcome.stderr)
    if outcome.timed_out:
        return Result(False, "timeout", detail)
    if outcome.status == 0 and word in outcome.stdout:
        return Result(True, "pass")
    if outcome.status == 137 or OUT_OF_MEMORY.search(outcome.stderr):
        return Result(False, "memory", detail)
    if outcome.status == 0:
        return Result(False, "exec error", "the program ended before its tests did")
    return Result(False, "exec error", detail or f"exit status {outcome.status}")


def _brief(text: str) -> str:
    """Both ends: Java says what went wrong first, Python last."""
    text = text.strip()
    if len(text) <= DETAIL_CHARACTERS:
        return text
    half = DETAIL_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"
