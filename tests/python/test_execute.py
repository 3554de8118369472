"""What programs are said to have done, and that only tests that ran to their end are a success."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import LIMITS, java_program, needs_java, needs_sandbox, python

from gavel.toolkit import datasets
from gavel.toolkit.execute import Feedback, JavaPrograms, PythonPrograms, Result
from gavel.toolkit.program_python import python_program
from gavel.toolkit.program_text import Program
from gavel.toolkit.sandbox import NoSandbox, Sandbox


@pytest.fixture(scope="module")
def java() -> Iterator[JavaPrograms]:
    with JavaPrograms(Sandbox) as programs:
        yield programs


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "status", "kind", "line"),
    [
        ("return x * x", "pass", "", None),
        ("return x + x", "wrong", "AssertionError", None),
        ("return (", "compile_error", "SyntaxError", 2),
        ("return nothing", "exception", "NameError", 2),
        ("assert x > 5", "exception", "AssertionError", 2),
        ("return square(x)", "exception", "RecursionError", 2),
        ("many = [bytearray(1 << 20) for _ in range(10 ** 6)]", "out_of_memory", "MemoryError", 2),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exception", "EarlyExit", None),
    ],
)
def test_python(body: str, status: str, kind: str, line: int | None) -> None:
    result = python(body)
    assert (result.status, result.passed) == (status, status == "pass"), result
    if result.feedback:
        assert (result.feedback.kind, result.feedback.line) == (kind, line)


@needs_sandbox
def test_feedback_names_the_line_of_the_candidate() -> None:
    program = python_program("def f(x):\n", "    y = 1\n    return y / x\n", "assert f(0) == 0\n", "f")
    result = PythonPrograms(Sandbox()).run(program, LIMITS)
    assert result == Result("exception", Feedback("ZeroDivisionError", "division by zero", 2, "return y / x"))


@needs_sandbox
@needs_java
@pytest.mark.parametrize(
    ("body", "status", "kind", "message", "line"),
    [
        ("return x * x;", "pass", "", "", None),
        ("return x + x;", "wrong", "java.lang.Exception", "no", None),
        ("return null;", "wrong", "java.lang.NullPointerException", "", None),
        ("return y;", "compile_error", "CompileError", "cannot find symbol symbol: variable y", 1),
        ("return x * x; } } class Main { void f() {", "compile_error", "CompileError", "duplicate class", None),
        ("return x / 0;", "exception", "java.lang.ArithmeticException", "/ by zero", 1),
        ('return Integer.parseInt("a");', "exception", "java.lang.NumberFormatException", "For input string", 1),
        ("assert x > 5; return 9;", "exception", "java.lang.AssertionError", "", 1),
        ("return square(x);", "exception", "java.lang.StackOverflowError", "", 1),
        (
            "var all = new java.util.ArrayList<int[]>(); while (true) all.add(new int[1 << 20]);",
            "out_of_memory",
            "java.lang.OutOfMemoryError",
            "",
            1,
        ),
        ("System.exit(0); return 0;", "exception", "EarlyExit", "before its tests did", None),
        ('System.out.println("ok"); Runtime.getRuntime().halt(0); return 0;', "exception", "EarlyExit", "", None),
        ('throw new Error("ok");', "exception", "java.lang.Error", "ok", 1),
    ],
)
def test_java(java: JavaPrograms, body: str, status: str, kind: str, message: str, line: int | None) -> None:
    result = java.run(java_program(body), LIMITS)
    assert result.status == status, result
    if result.feedback:
        assert (result.feedback.kind, result.feedback.line) == (kind, line), result
        assert message in result.feedback.message
        assert line is None or result.feedback.text == body


@needs_sandbox
@pytest.mark.parametrize(
    "body",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "print('ok'); print('pass'); import os; os._exit(0)",
        "import os; [os.write(n, b'ok\\n') for n in (1, 2)]; os._exit(0)",
        "class Any(int):\n        def __eq__(self, other): return True\n    return Any()",
        "import builtins; builtins.AssertionError = ValueError; return 0",
        "import builtins; builtins.exec = builtins.print = builtins.compile = lambda *a: None; return 0",
        "import sys; return sys._current_frames()",
        "import gc; return gc.get_objects()",
    ],
)
def test_python_that_only_looks_like_success_fails(body: str) -> None:
    assert python(body).status in ("wrong", "exception")


@needs_sandbox
def test_comparisons_of_the_candidates_own_do_not_count() -> None:
    prompt, test = "def f():\n", "assert abs(f()[0] - 9) < 1e-6\n"
    sly = "    class Any(float):\n        def __sub__(self, other): return 0\n    return [Any(1)]\n"
    run = PythonPrograms(Sandbox()).run
    assert run(python_program(prompt, sly, test, "f"), LIMITS).status == "wrong"
    assert run(python_program(prompt, "    return [9.0]\n", test, "f"), LIMITS).passed
    counted = "    from collections import Counter\n    return Counter('aab')\n"
    assert run(python_program(prompt, counted, "assert f() == {'a': 2, 'b': 1}\n", "f"), LIMITS).passed


@needs_sandbox
def test_builtins_are_the_tests_own() -> None:
    test = "def check(candidate):\n    assert abs(candidate(3) - 9) < 1e-6\n"
    sly = "    return 0\n\ndef abs(x):\n    return 0\n\nimport builtins\nbuiltins.abs = abs\n"
    run = PythonPrograms(Sandbox()).run
    assert run(python_program("def square(x):\n", sly, test, "square"), LIMITS).status == "wrong"
    named = "def check(candidate):\n    assert candidate([2, 3]) == 6\n"
    checked = python_program("def check(x):\n", "    return x[0] * x[1]\n", named, "check")
    assert run(checked, LIMITS).passed
    right = python_program("def sum(x):\n", "    return x[0] * x[1]\n", named, "sum")
    assert run(right, LIMITS).passed


@needs_sandbox
@needs_java
@pytest.mark.parametrize(
    "more",
    [
        "class Arrays { static java.util.List<Integer> asList(int n) { return null; } }",
        "class Error extends java.lang.Error { Error() { System.exit(0); } }",
        "public class Main { public static void main(String[] a) { } }",
    ],
)
def test_java_types_are_the_tests_own(java: JavaPrograms, more: str) -> None:
    test = (
        "class Main { public static void main(String[] a) { if (Lists.one() != null && !Lists.one().equals("
        "Arrays.asList(1))) throw new Error(); if (Lists.one() == null) throw new Error(); } }"
    )
    row = {"task_id": "t", "language": "java", "entry_point": "one", "test": test}
    row["prompt"] = "import java.util.*;\nclass Lists {\n  static List<Integer> one() {\n"
    assert java.run(datasets.program(row, f"return null; }} }}\n{more}"), LIMITS).status == "wrong"
    assert java.run(datasets.program(row, f"return List.of(1); }} }}\n{more}"), LIMITS).passed


@needs_sandbox
@needs_java
def test_java_equality_is_asked_both_ways(java: JavaPrograms) -> None:
    test = (
        "class Main { static boolean same(Object a, Object b) { return a.equals(b); }\n"
        "  public static void main(String[] x) { if (!same(A.one(), java.util.List.of(1))) throw new Error(); } }"
    )
    row = {"task_id": "t", "language": "java", "prompt": "class A {\n  static java.util.List<Integer> one() {\n"}
    sly = "return new java.util.ArrayList<>() { public boolean equals(Object o) { return true; } }; } }"
    assert java.run(datasets.program(row | {"test": test}, sly), LIMITS).status == "wrong"
    assert java.run(datasets.program(row | {"test": test}, "return java.util.List.of(1); } }"), LIMITS).passed


@needs_sandbox
@pytest.mark.parametrize("ending", ["@lambda f: lambda c: None", "if False:", '"""', "'''", "def check(c): (", "\\"])
def test_a_candidate_cannot_swallow_its_test(ending: str) -> None:
    test = "def check(candidate):\n    assert candidate(3) == 9\n"
    program = python_program("def square(x):\n", f"    return 0\n{ending}", test, "square")
    assert PythonPrograms(Sandbox()).run(program, LIMITS).status == "compile_error"


@needs_sandbox
@needs_java
def test_a_java_candidate_cannot_swallow_its_test(java: JavaPrograms) -> None:
    row = {"task_id": "t", "language": "java", "prompt": "class A { static int f() {", "entry_point": "f"}
    row["test"] = "/* a comment */ class Main { public static void main(String[] a) { throw new Error(); } }"
    sly = "return 1; } } class Main { public static void main(String[] a) {} } /*"
    assert java.run(datasets.program(row, sly), LIMITS).status == "compile_error"


@needs_sandbox
@needs_java
def test_a_program_that_ends_the_compiler_costs_only_itself(java: JavaPrograms) -> None:
    deep = "return " + "(" * 60_000 + "x" + ")" * 60_000 + ";"
    assert java.run(java_program(deep), LIMITS).status == "compile_error"
    assert java.run(java_program("return x * x;"), LIMITS).passed


@needs_sandbox
def test_a_sandbox_that_does_not_start_blames_no_candidate() -> None:
    broken = Sandbox()
    broken._bwrap = lambda descriptors: ["bwrap", "--no-such-option"]  # type: ignore[method-assign]
    result = PythonPrograms(broken).run(Program("", ""), LIMITS)
    assert result.status == "harness_error"


@needs_java
def test_java_without_sandbox() -> None:
    with JavaPrograms(NoSandbox) as programs:
        assert programs.run(java_program("return x * x;"), LIMITS).passed
