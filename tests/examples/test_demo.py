"""The demo as a user runs it, on the small test model, and what it says where it cannot."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "build/models/smollm2-135m-instruct-int8.gavel"
QUICK = ["--generator", str(BUNDLE), "--candidates", "3", "--max-tokens", "24"]

spec = importlib.util.spec_from_file_location("demo", ROOT / "examples/demo.py")
assert spec and spec.loader
demo = importlib.util.module_from_spec(spec)
sys.modules["demo"] = demo  # its dataclasses look themselves up there
spec.loader.exec_module(demo)


def run(*options: str, columns: int = 160) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples/demo.py"), *options]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": str(columns)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_help_needs_no_set_up() -> None:
    result = subprocess.run([ROOT / "examples/demo", "--help"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0
    assert all(option in result.stdout for option in ("--task", "--generator", "--judge", "--candidates", "--device"))
    assert "examples/demo --task gavel_python/2" in result.stdout


def test_table() -> None:
    result = run(*QUICK)
    assert result.returncode == 0, result.stderr
    assert "3 candidates by smollm2-135m-instruct-int8" in result.stdout
    assert "UNTRAINED" in result.stdout, "whatever shows an untrained judge's verdicts says so"
    for word in ("P(cor-", "log-p.", "finish", "first line", "The best, no. ", "class Shelves"):
        assert word in result.stdout, word
    assert "Times: open " in result.stdout and "prefill" in result.stdout


def test_tests_fit_80_columns() -> None:
    result = run("--candidates", "3", "--max-tokens", "24", "--check", columns=80)
    assert result.returncode == 0, result.stderr
    for word in ("rank", "P(cor-", "verba-", "probe", "log-p.", "tokens", "tests"):
        assert word in result.stdout, word


def test_a_trained_team_from_the_download_alone() -> None:
    """The generator, its judge and the likelihood, weighed as fitted; the score is what the team file's words make."""
    result = run("--candidates", "3", "--max-tokens", "24", "--json")
    assert result.returncode == 0, result.stderr
    record, team = json.loads(result.stdout), json.loads(demo.DEFAULT_TEAM.read_text())
    assert all(judge["trained"] for judge in record["judges"]) and len(record["judges"]) == len(team["members"])
    weights, stacking = [member["weight"] for member in team["members"]], team["stacking"]
    for ranked in record["ranked"]:
        score = stacking["bias"] + sum(
            weight * verdict["logit"] for weight, verdict in zip(weights, ranked["verdicts"], strict=True)
        )
        logprobs = ranked["candidate"]["logprobs"]
        score += stacking["logprob_weight"] * (sum(logprobs) / len(logprobs) - stacking["logprob_mean"])
        assert ranked["score"] == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-5)
    shown = run("--candidates", "3", "--max-tokens", "24").stdout
    assert "trained, weight" in shown and "its own mean log-probability, weight" in shown


def test_json() -> None:
    result = run(*QUICK, "--json", "--judge", "verbalizer", "--judge", f"{BUNDLE}:verbalizer")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert len(record["ranked"]) == 3 and len(record["judges"]) == 2
    assert [judge["trained"] for judge in record["judges"]] == [False, False]
    assert all(len(ranked["verdicts"]) == 2 for ranked in record["ranked"])
    assert record["seconds"]["open"] > 0


def test_same_seed_same_candidates() -> None:
    first, second = (json.loads(run(*QUICK, "--json", "--seed", "4").stdout) for _ in range(2))
    assert [r["candidate"] for r in first["ranked"]] == [r["candidate"] for r in second["ranked"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--generator", "nowhere.gavel"], "nowhere.gavel"),
        (["--task", "nothing"], "is no file, no task of examples/tasks"),
        (["--task", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--task", f"{ROOT}/examples/tasks/java.jsonl:gavel_java/99"], "has no task 'gavel_java/99'"),
        (["--task", "Write a function that adds.", "--check"], "has no tests"),
        ([*QUICK, "--candidates", "0"], "candidates"),
        ([*QUICK, "--judge", "probe"], "probe"),
        ([*QUICK, "--device", "tpu"], "tpu"),
    ],
)
def test_refusals(options: list[str], said: str) -> None:
    result = run(*options)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("examples/demo: ") and said in result.stderr and "Traceback" not in result.stderr


def test_task_by_id() -> None:
    assert demo.find_row("gavel_python/2", None)["entry_point"] == "minutes_between"
    assert demo.find_row(demo.DEFAULT_TASK, None)["language"] == "java"


def test_task_of_a_file() -> None:
    java = ROOT / "examples/tasks/java.jsonl"
    assert demo.find_row(str(java), None)["task_id"] == "gavel_java/0"
    assert demo.find_row(f"{java}:gavel_java/5", None)["task_id"] == "gavel_java/5"


def test_task_of_a_program(tmp_path: Path) -> None:
    begun = tmp_path / "begun.py"
    begun.write_text("def f(x):\n")
    row = demo.find_row(str(begun), None)
    assert (row["prompt"], row["language"], row.get("prompting")) == ("def f(x):\n", "python", None)
    assert demo.find_row(str(begun), "any")["language"] == "any"


def test_task_in_words() -> None:
    row = demo.find_row("Write a function that adds.", "cpp")
    assert (row["prompting"], row["language"]) == ("chat", "cpp")
