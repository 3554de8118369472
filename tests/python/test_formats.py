"""Files of other tools: what is read from each runs and says what it said there, and is written as it is read."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from programs import LIMITS, needs_java, needs_sandbox

from gavel.toolkit import datasets, formats
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.execute import JavaPrograms, PythonPrograms
from gavel.toolkit.format_writers import WRITERS
from gavel.toolkit.sandbox import Sandbox

DATA = Path(__file__).parents[2].parent / "shared" / "data"

HUMANEVAL = {
    "task_id": "HumanEval/1000",
    "prompt": "def half(x):\n    '''Half of x.'''\n",
    "entry_point": "half",
    "canonical_solution": "    return x / 2\n",
    "test": "def check(candidate):\n    assert candidate(3) == 1.5\n",
}
EVALPLUS = {
    "task_id": "HumanEval/1001",
    "prompt": "def third(values):\n    '''A third of each.'''\n",
    "entry_point": "third",
    "canonical_solution": "    return [v / 3 for v in values]\n",
    "base_input": [[[3, 6]]],
    "plus_input": [[[1]], [[]]],
    "atol": 1e-6,
    "contract": "",
}
MBPP = {
    "task_id": 2000,
    "text": "Write a function to double a number.",
    "code": "def twice(n):\n  return 2 * n",
    "test_list": ["assert twice(2) == 4", "assert twice(0) == 0"],
    "test_setup_code": "",
}
MULTIPL_E_PYTHON = {
    "name": "HumanEval_1000_half",
    "language": "py",
    "prompt": "def half(x: float) -> float:\n    '''Half of x.'''\n",
    "tests": "def check(candidate):\n    assert candidate(3) == 1.5\n\n"
    "def test_check():\n    check(half)\n\ntest_check()\n",
    "stop_tokens": ["\ndef"],
    "completions": ["    return x / 2", "    return x"],
}
MULTIPL_E_JAVA = {
    "name": "HumanEval_1002_all_of",
    "language": "java",
    "prompt": "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n"
    "    public static ArrayList<Long> allOf(long n) {\n",
    "tests": "    }\n    public static void main(String[] args) {\n"
    "    assert(allOf((2l)).equals((new ArrayList<Long>(Arrays.asList((long)2l)))));\n    }\n\n}\n",
    "stop_tokens": ["\n    }\n"],
    "completions": [
        "        return new ArrayList<>(List.of(n));",
        "        return new ArrayList<>();",
        "        return new ArrayList<>() { public boolean equals(Object o) { return true; } };",
    ],
}
CODEREVAL = {
    "task_id": "abc",
    "project": "p",
    "docstring": "/** Says whether it is even. */",
    "candidates": [
        {"code": "boolean even(int n) { return n % 2 == 0; }", "passed": True, "feedback": ""},
        {"code": "boolean even(int n) { return n; }", "passed": False, "feedback": "compile error"},
        {"code": "boolean even(int n) { return n % 2 == 1; }", "passed": False, "feedback": "exec error!"},
    ],
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def statuses(row: Row, codes: list[str]) -> list[str]:
    if row["language"] == "java":
        with JavaPrograms(Sandbox) as java:
            return [java.run(datasets.program(row, code), LIMITS).status for code in codes]
    python = PythonPrograms(Sandbox())
    return [python.run(datasets.program(row, code), LIMITS).status for code in codes]


@needs_sandbox
@pytest.mark.parametrize(
    ("raw", "wrong", "source"),
    [
        (HUMANEVAL, "    return x\n", "HumanEval/1000"),
        (EVALPLUS, "    return [v / 3.001 for v in values]\n", "HumanEval/1001"),
        (EVALPLUS, "    return [v / 3 for v in values] or None\n", "HumanEval/1001"),
        (MBPP, "def twice(n):\n  return n + 2", "MBPP/2000"),
    ],
)
def test_tasks_run(raw: Row, wrong: str, source: str) -> None:
    row = formats.record(raw)
    assert (row["source"], row["language"]) == (source, "python")
    assert statuses(row, [row["canonical_solution"], wrong]) == ["pass", "wrong"]


@needs_sandbox
def test_evalplus_takes_a_float_that_is_near() -> None:
    assert statuses(formats.record(EVALPLUS), ["    return [v / 3 + 1e-9 for v in values]\n"]) == ["pass"]


@needs_sandbox
def test_multipl_e_python() -> None:
    row = formats.record(MULTIPL_E_PYTHON)
    assert (row["task_id"], row["source"], row["language"]) == ("HumanEval_py/1000", "HumanEval/1000", "python")
    assert statuses(row, [candidate["code"] for candidate in row["candidates"]]) == ["pass", "wrong"]


@needs_sandbox
@needs_java
def test_multipl_e_java() -> None:
    row = formats.record(MULTIPL_E_JAVA)
    assert row["entry_point"] == "allOf"
    assert statuses(row, [candidate["code"] for candidate in row["candidates"]]) == ["pass", "wrong", "wrong"]
    method = "public static ArrayList<Long> allOf(long n) { return new ArrayList<>(List.of(n)); }"
    assert statuses(row, [method, f"class Solution {{ {method} }}"]) == ["pass", "pass"]
    with_tuples = MULTIPL_E_JAVA | {"prompt": MULTIPL_E_JAVA["prompt"].replace("ArrayList<Long>", "Pair<Long, Long>")}
    assert formats.record(with_tuples)["test"] is None


def test_multipl_e_results() -> None:
    prompt, tests = MULTIPL_E_PYTHON["prompt"], MULTIPL_E_PYTHON["tests"]
    results = [
        {"program": f"{prompt}    return 1\n{tests}", "status": "OK", "exit_code": 0},
        {"program": f"{prompt}    return (\n{tests}", "status": "SyntaxError", "exit_code": 1},
    ]
    row = formats.record({**MULTIPL_E_PYTHON, "completions": None, "results": results})
    assert [(each["code"], each["status"], each["passed"]) for each in row["candidates"]] == [
        ("    return 1", "pass", True),
        ("    return (", "compile_error", False),
    ]


def test_coder_eval() -> None:
    row = formats.record(CODEREVAL)
    assert (row["dataset"], row["source"], row["language"]) == ("CoderEval", "CoderEval/abc", "java")
    assert [candidate["status"] for candidate in row["candidates"]] == ["pass", "compile_error", "exception"]
    assert datasets.outcomes(row) == [True, False, False]


@pytest.mark.parametrize("raw", [HUMANEVAL, EVALPLUS, MBPP, MULTIPL_E_PYTHON, MULTIPL_E_JAVA, CODEREVAL])
def test_a_record_stays_as_it_is(raw: Row) -> None:
    once = formats.record(raw)
    once["candidates"] = [{"code": "x", "status": "wrong", "passed": False}]
    assert formats.record(once) == once


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        ("HumanEval/3", "HumanEval/3"),
        ("HumanEval_java/3", "HumanEval/3"),
        ("MBJP/3", "MBPP/3"),
        ("Mbpp/3", "MBPP/3"),
        ("MBCPP/3", "MBPP/3"),
        ("gavel_java/3", "gavel_java/3"),
        ("MBA/3", "MBA/3"),
        ("alone", "all/alone"),
    ],
)
def test_one_problem_in_every_language(identity: str, source: str) -> None:
    assert formats.source({"task_id": identity}) == source


def test_samples_join_their_tasks(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", HUMANEVAL)
    samples = tmp_path / "samples.jsonl.gz"
    lines = [
        {"task_id": "HumanEval/1000", "completion": "    return x / 2", "passed": True},
        {"task_id": "HumanEval/1000", "completion": "    while 1: pass", "passed": False, "result": "timed out"},
        {"task_id": "HumanEval/1000", "solution": "def half(x):\n    return x", "model": "kept"},
    ]
    samples.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    (row,) = formats.read_records([samples, tasks], generator="me")
    first, second, third = row["candidates"]
    assert (first["status"], first["generator"], first["index"]) == ("pass", "me", 0)
    assert (second["status"], second["passed"]) == ("timeout", False)
    assert (third["code"], third["model"], third["index"]) == ("def half(x):\n    return x", "kept", 2)
    other = write(tmp_path / "other.jsonl", EVALPLUS)
    with pytest.raises(DatasetError, match="which no file has"):
        formats.read_records([samples, other])
    (row,) = formats.read_records([samples, other], strange_samples=True)
    assert "candidates" not in row


def test_two_generators_of_one_task(tmp_path: Path) -> None:
    def solved(digest: str, seed: int) -> Row:
        run = {"digests": {"generator": digest, "tokenizer": digest}, "options": {"seed": seed, "prompting": "chat"}}
        return HUMANEVAL | {"run": run, "best": 0, "candidates": [{"code": digest, "index": 0, "tokens": [1]}]}

    files = [write(tmp_path / f"{name}.jsonl", solved(name, seed)) for seed, name in enumerate("ab")]
    (row,) = formats.read_records(files)
    assert [(each["code"], each["generator"], each["seed"], each["index"]) for each in row["candidates"]] == [
        ("a", "a", 0, 0),
        ("b", "b", 1, 1),
    ]
    assert "run" not in row and "best" not in row and "tokens" not in row["candidates"][0]
    assert datasets.prompting(row) == "chat"
    with pytest.raises(DatasetError, match="another test"):
        formats.read_records([files[0], write(tmp_path / "c.jsonl", HUMANEVAL | {"test": "assert half(1)"})])


@pytest.mark.parametrize("raw", [MULTIPL_E_PYTHON, MULTIPL_E_JAVA, CODEREVAL])
@pytest.mark.parametrize("again", [False, True])
def test_written_as_read(raw: Row, again: bool) -> None:
    name = "codereval" if raw is CODEREVAL else "multipl-e"
    record = formats.record(raw)
    (written,) = WRITERS[name]([record])
    expected = dict(raw)
    if raw is MULTIPL_E_JAVA:  # the prompt without the import of what is not there
        expected["prompt"] = raw["prompt"].replace("import org.javatuples.*;", "")
    assert written == expected
    if again:
        assert formats.record(written) == formats.record(expected)


def test_labelled_samples_come_back_without_their_tasks(tmp_path: Path) -> None:
    said = {"code": "    return x / 2\n", "passed": True, "status": "pass", "mean_logprob": -0.25, "seed": 1}
    row = formats.record(HUMANEVAL | {"candidates": [said, said | {"passed": False, "status": "wrong"}]})
    for name in ("first", "second"):
        formats.write(tmp_path / f"{name}.jsonl.gz", WRITERS["samples"]([row]))
    packed = (tmp_path / "first.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "second.jsonl.gz").read_bytes()
    assert HUMANEVAL["prompt"].encode() not in gzip.decompress(packed)
    (again,) = formats.read_records([write(tmp_path / "tasks.jsonl", HUMANEVAL), tmp_path / "first.jsonl.gz"])
    kept = [{key: each[key] for key in said} for each in again["candidates"]]
    assert kept == [said, said | {"passed": False, "status": "wrong"}]


def test_samples_are_written(tmp_path: Path) -> None:
    row = formats.record(HUMANEVAL | {"candidates": [{"code": "    return x / 2\n", "passed": True}]})
    (sample,) = WRITERS["samples"]([row])
    assert (sample["task_id"], sample["completion"]) == ("HumanEval/1000", "    return x / 2\n")
    (whole,) = WRITERS["evalplus"]([row])
    assert whole == {"task_id": "HumanEval/1000", "solution": HUMANEVAL["prompt"] + "    return x / 2\n"}
    (task,) = WRITERS["tasks"]([row])
    assert {key: task[key] for key in HUMANEVAL} == HUMANEVAL
    with pytest.raises(DatasetError, match="not from MultiPL-E"):
        list(WRITERS["multipl-e"]([row]))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}")
def test_the_real_files() -> None:
    records = formats.read_records(sorted(DATA.glob("*.jsonl"))[:3] + sorted(DATA.glob("mb*.jsonl")))
    assert Counter(row["dataset"] for row in records) == {
        "HumanEval": 164,
        "HumanEval_java": 161,
        "MBJP": 966,
        "MBPP": 974,
        "CoderEval": 230,
    }
    assert len({row["source"] for row in records}) == 164 + 974 + 230
    for row in records:
        if row["dataset"] != "CoderEval":
            datasets.program(row, row.get("canonical_solution") or "")
