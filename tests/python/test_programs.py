"""Candidates made whole: fences, prose, imports, bodies, methods and classes of any name become one program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import LIMITS, needs_java, needs_sandbox

from gavel.toolkit import datasets
from gavel.toolkit.execute import JavaPrograms, PythonPrograms
from gavel.toolkit.program_text import unfenced
from gavel.toolkit.sandbox import Sandbox

JAVA = {
    "task_id": "j",
    "language": "java",
    "prompt": "import java.util.*;\n\nclass Totals {\n    static int one() { return 1; }\n\n    /**\n     * A sum.\n"
    "     */\n"
    "    public static int total(List<Integer> numbers) {\n",
    "entry_point": "total",
    "test": "class Main { public static void main(String[] a) {\n"
    "  if (Totals.total(List.of(1, 2)) != 3) throw new AssertionError(); } }\n",
}
BODY = "        int sum = 0;\n        for (int n : numbers) sum += n;\n        return sum;\n"
METHOD = f"    public static int total(List<Integer> numbers) {{\n{BODY}    }}\n"
PYTHON = {
    "task_id": "p",
    "language": "python",
    "prompt": "import math\n\ndef double(x):\n    return 2 * x\n\ndef f(x):\n    '''Doc.'''\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(4) == 4\n",
}


@pytest.fixture(scope="module")
def java() -> Iterator[JavaPrograms]:
    with JavaPrograms(Sandbox) as programs:
        yield programs


@needs_sandbox
@needs_java
@pytest.mark.parametrize(
    "code",
    [
        BODY,
        f"{BODY}    }}\n}}\n",
        f"{BODY}    }}\n}}\n\nclass Helper {{ }}\n",
        "import java.util.function.*;\n" + BODY.replace("int sum = 0", "IntSupplier s = () -> 0; int sum = 0"),
        METHOD,
        f"import java.util.stream.*;\n\n{METHOD}",
        METHOD.replace("int sum = 0", "int sum = one() - 1"),
        f"public class Totals {{\n{METHOD}}}\n",
        f"package a.b;\nimport java.util.List;\n\npublic final class Solution {{\n{METHOD}}}\n",
        f"class Solution {{\n    Solution() {{ }}\n{METHOD}}}\npublic class Main {{\n"
        "  public static void main(String[] a) { System.exit(0); } }\n",
        f"public class Main {{\n{METHOD}  public static void main(String[] a) {{ }}\n}}\n",
        f"Here it is:\n```java\n{METHOD}```\nIt adds them up.",
        f"Sure!\n```java\nimport java.util.*;\npublic class Answer {{\n{METHOD}}}\n```\n\nUse:\n```java\ntotal(x)\n```",
        f"{BODY}    }}\n}}\n```\nThis sums the numbers.",
        f"```java\n{BODY}",
        METHOD.replace(
            "int sum = 0;", 'int sum = 0; String s = "} class Totals { \\" "; // } }\n /* } */ char c = \'}\';'
        ),
    ],
)
def test_java(java: JavaPrograms, code: str) -> None:
    program = datasets.program(JAVA, code)
    assert java.run(program, LIMITS).passed, program.source


@needs_sandbox
@needs_java
@pytest.mark.parametrize("code", [METHOD, f"public class Solution {{\n{METHOD}}}\n"])
def test_java_for_an_instruction_in_words(java: JavaPrograms, code: str) -> None:
    row = JAVA | {"prompt": "Write total, which adds numbers up.", "prompting": "chat"}
    row["test"] = JAVA["test"].replace("List", "java.util.List")
    answer = f"```java\n{code.replace('List<', 'java.util.List<')}```"
    assert java.run(datasets.program(row, answer), LIMITS).passed


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    [
        "    return x\n",
        "return x\n",
        "import re\n    return x\n",
        "def f(x):\n    return double(x) // 2\n",
        "from __future__ import annotations\nimport math\n\ndef f(x: int) -> int:\n    return x\n",
        "f = lambda x: x\n",
        "Here:\n```python\ndef f(x):\n    return x\n\nprint(f(1))\n```\nand a test:\n```python\nf(2)\n```\n",
        "```\ndef f(x):\n    return x\n```",
        "    return x\n```\nThis returns x.",
        "    return x\n\n\nclass Other:\n    pass\n",
        "class Helper:\n    pass\n\n\ndef f(x):\n    return x\n",
    ],
)
def test_python(code: str) -> None:
    program = datasets.program(PYTHON, code)
    assert PythonPrograms(Sandbox()).run(program, LIMITS).passed, program.source


def test_lines_are_those_of_the_text_that_was_given() -> None:
    answer = f"Here:\n\n```java\n{METHOD}```\n"
    program = datasets.program(JAVA, answer)
    at = program.source.splitlines().index("        int sum = 0;") + 1
    assert program.candidate_line(at) == answer.splitlines().index("        int sum = 0;") + 1
    assert program.candidate_line(1) is None
    for code in (BODY, METHOD, f"public class X {{\n{METHOD}}}\n", f"import java.io.*;\n{BODY}"):
        program = datasets.program(JAVA, code)
        at = program.source.splitlines().index("        int sum = 0;") + 1
        assert program.candidate_line(at) == code.splitlines().index("        int sum = 0;") + 1
    for code in ("    y = 1\n    return y\n", "def f(x):\n    y = 1\n", "import re\n    y = 1\n"):
        program = datasets.program(PYTHON, code)
        at = program.source.splitlines().index("    y = 1") + 1
        assert program.candidate_line(at) == code.splitlines().index("    y = 1") + 1


def test_text_without_fence_is_code() -> None:
    assert unfenced("    return x\n", ("python",)) == ("    return x\n", 0)
    assert unfenced("a\n~~~ py\nx = 1\n~~~\nb", ("py",)) == ("x = 1\n", 2)
    assert unfenced('    s = "```"\n', ("python",)) == ('    s = "```"\n', 0)
