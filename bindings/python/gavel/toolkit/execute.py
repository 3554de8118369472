"""Does a program pass? Python and Java programs, run in a sandbox; the end of their tests is the only success."""

from __future__ import annotations

import os
import queue
import re
import secrets
import selectors
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import MIB, Limits, Outcome, Sandbox, SandboxError

RUNNERS = Path(__file__).parent / "runners"
READY = "gavel ready\n"  # what a runner says before it touches the candidate
COMPILE_SECONDS = 60.0  # javac always ends; this is for a machine that is busy
COMPILER_SECONDS = 7 * 86400.0  # what a warm one may take for all that it ever compiles
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


Status = Literal["pass", "wrong", "exception", "compile_error", "timeout", "out_of_memory", "harness_error"]


@dataclass(frozen=True)
class Feedback:
    """What a failed run said: the execution feedback that RankEF is trained on (arXiv 2408.13976)."""

    kind: str  # the error's class, such as java.lang.ArithmeticException
    message: str = ""
    line: int | None = None  # of the candidate's text, from 1; none where the failure is not in it
    text: str = ""  # of that line, or of the test's line that failed


@dataclass(frozen=True)
class Result:
    """``wrong`` is a test that found another result than it wanted, ``exception`` anything the candidate threw or left
    undone; ``harness_error`` says nothing about the candidate."""

    status: Status
    feedback: Feedback | None = None

    @property
    def passed(self) -> bool:
        return self.status == "pass"


class PythonPrograms:
    """Runs Python programs with the distribution's interpreter, isolated from its environment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._runner = (RUNNERS / "run_program.py").read_bytes()
        if not Path("/usr/bin/python3").exists():
            raise SandboxError(
                "/usr/bin/python3 is not installed, and Python candidates need it: apt-get install python3"
            )

    def run(self, program: Program, limits: Limits) -> Result:
        word = secrets.token_hex(16)
        files = {
            "run_program.py": self._runner,
            "candidate.py": program.source.encode(errors="replace"),
            "test.py": program.test.encode(errors="replace"),
        }
        command = ["/usr/bin/python3", "-I", *(f"{{box}}/{name}" for name in files), self._sandbox.processes]
        return result_of(self._sandbox.run(command, files, limits, f"{word}\n".encode()), word, program)

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

    def run(self, program: Program, limits: Limits) -> Result:
        try:
            compiled, answer = self._compile(program)
        except TimeoutError:
            return Result("timeout", Feedback("Timeout", "javac did not finish"))
        except CompilerGone as gone:
            return Result("compile_error", Feedback("CompileError", str(gone)))
        if not compiled:
            file, line, message = answer.decode(errors="replace").split("\t", 2)
            return Result("compile_error", feedback_at("CompileError", file, line, message, program))
        word = secrets.token_hex(16)
        command = [self._java, *JVM, f"-Xmx{limits.memory // MIB}m", "-XX:MaxMetaspaceSize=64m", "-ea"]
        command += ["-cp", "{box}/program.jar", "GavelLauncher", self._sandbox.processes]
        # The heap is the limit; beside it a virtual machine reserves address space that it never touches.
        limits = replace(limits, memory=limits.memory + 1024 * MIB)
        outcome = self._sandbox.run(command, {"program.jar": answer}, limits, f"{word}\n".encode())
        return result_of(outcome, word, program)

    def _compile(self, program: Program) -> tuple[bool, bytes]:
        try:
            return self._compile_with_one(program)
        except CompilerGone:  # perhaps for a reason of its own: the next one shows whether it was the program's doing
            return self._compile_with_one(program)

    def _compile_with_one(self, program: Program) -> tuple[bool, bytes]:
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

    def __enter__(self) -> JavaPrograms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CompilerGone(RuntimeError):
    """The compiler's process ended by itself; another can take its place."""


class JavaCompiler:
    """A warm javac in a sandbox: a cold one costs more than compiling and running a small program."""

    def __init__(self, sandbox: Sandbox, java: str) -> None:
        source = (RUNNERS / "CompileServer.java").read_bytes()
        limits = Limits(seconds=COMPILER_SECONDS, memory=2048 * MIB)
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

    def compile(self, program: Program, seconds: float) -> tuple[bool, bytes]:
        """(True, a jar) or (False, the error). After TimeoutError or CompilerGone this compiler is of no more use."""
        assert self._process.stdin is not None
        try:
            for text in (program.source, program.test):
                content = text.encode(errors="replace")
                self._process.stdin.write(struct.pack(">i", len(content)) + content)
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


def result_of(outcome: Outcome, word: str, program: Program) -> Result:
    """The verdict of a run whose last act, if its tests came to their end, was to say ``word`` alone on a line."""
    if outcome.ended_for == "time" or outcome.status == 128 + signal.SIGXCPU:
        return Result("timeout", Feedback("Timeout"))
    if outcome.ended_for == "output":
        return Result("exception", Feedback("OutputLimit", "it wrote more than it may"))
    lines = outcome.stdout.splitlines()
    if not outcome.stdout.startswith(READY):
        return Result("harness_error", Feedback("HarnessError", _brief(outcome.stderr) or f"status {outcome.status}"))
    if lines[-1] == word and outcome.status == 0:
        return Result("pass")
    what, *rest = lines[-1].split("\t", 4)
    if len(rest) == 4 and what in ("failed", "compile"):
        return _failure(what, rest, program)
    if outcome.ended_for == "memory" or outcome.status == 128 + signal.SIGKILL or OUT_OF_MEMORY.search(outcome.stderr):
        return Result("out_of_memory", Feedback("OutOfMemory", _brief(outcome.stderr)))
    said = _brief(outcome.stderr) if outcome.status else "the program ended before its tests did"
    return Result("exception", Feedback("EarlyExit", said or f"exit status {outcome.status}"))


def _failure(what: str, rest: list[str], program: Program) -> Result:
    kind, file, line, message = rest
    feedback = feedback_at(kind, file, line, message, program)
    if what == "compile":
        return Result("compile_error", feedback)
    if kind in ("java.lang.OutOfMemoryError", "MemoryError"):
        return Result("out_of_memory", feedback)
    # A Java test throws what it likes where a result is not the wanted one; a Python test asserts.
    wrong = file == "Main.java" or (file == "test.py" and kind == "AssertionError")
    return Result("wrong" if wrong else "exception", feedback)


def feedback_at(kind: str, file: str, line: str, message: str, program: Program) -> Feedback:
    number, of_test = int(line) if line.isdecimal() else 0, file in ("Main.java", "test.py")
    text = program.line_text(number, of_test=of_test) if file else ""
    own = program.candidate_line(number) if file and not of_test else None
    return Feedback(kind, _brief(" ".join(message.split())), own, text)


def _brief(text: str) -> str:
    """Both ends: Java says what went wrong first, Python last."""
    text = text.strip()
    if len(text) <= DETAIL_CHARACTERS:
        return text
    half = DETAIL_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"
