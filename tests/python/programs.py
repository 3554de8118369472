"""Programs of the tests of labelling: a function that squares, its test, and where it can run."""

from __future__ import annotations

import shutil

import pytest

from gavel.toolkit.execute import PythonPrograms, Result
from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import MIB, Limits, Sandbox, SandboxError

LIMITS = Limits(seconds=10, memory=256 * MIB)
SHORT = Limits(seconds=1.5, memory=256 * MIB)


def lacking() -> str:
    try:
        Sandbox().check()
    except SandboxError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(lacking()), reason=lacking() or "the sandbox works")
needs_java = pytest.mark.skipif(
    shutil.which("javac") is None, reason="no JDK here: apt-get install openjdk-17-jdk-headless"
)


def python(body: str, limits: Limits = LIMITS) -> Result:
    program = Program(f"def square(x):\n    {body}\n", "assert square(3) == 9\n")
    return PythonPrograms(Sandbox()).run(program, limits)


def java_program(body: str) -> Program:
    test = 'if (A.square(3) != 9) throw new Exception("no");'
    return Program(
        f"class A {{\n  static Integer square(int x) throws Exception {{\n{body}\n  }}\n}}\n",
        f"class Main {{ public static void main(String[] a) throws Exception {{ {test} }} }}\n",
        before=2,
    )
