"""What a training takes of labelled rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import labelled_toys as toys
import pytest
import tiny_models as tiny

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.training import TrainOptions
from gavel.toolkit.training.examples import Example, TaskExamples, drawn
from gavel.toolkit.training.feedback import LABELS, label_of, words_of
from gavel.toolkit.training.packing import packs
from gavel.toolkit.training.prepare import prepare


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.model("llama", max_position_embeddings=1024), tmp_path_factory.mktemp("base") / "base")


def write(path: Path, candidates: list[dict[str, Any]], **more: Any) -> Path:
    mixed = toys.row(1, [True, False], random.Random(0))
    row = {"task_id": "a", "prompt": "def f():\n", "language": "python", "candidates": candidates} | more
    path.write_text(json.dumps(mixed) + "\n" + json.dumps(row) + "\n")
    return path


def test_same_empty_unknown_and_long_candidates_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    said = [
        {"code": "return 1", "passed": True, "status": "pass"},
        {"code": "  return  1\n", "passed": True, "status": "pass"},
        {"code": " \n", "passed": False, "status": "wrong"},
        {"code": "return 2", "status": "harness_error"},
        {"code": "x " * 2000, "passed": False, "status": "wrong"},
    ]
    data = prepare(base, write(tmp_path / "rows.jsonl", said), None, TrainOptions()).data["train"]
    assert (data["tasks"], data["candidates"], data["correct"]) == (2, 3, 2)
    assert data["left_out"] == {"same": 1, "unusable": 2, "too_long": 1}


def test_rows_that_cannot_teach_are_refused(base: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps(toys.row(1, [True, True], random.Random(0))) + "\n")
    with pytest.raises(ToolkitError, match="needs both outcomes"):
        prepare(base, one, None, TrainOptions())
    with pytest.raises(ToolkitError, match="run `gavel label` first"):
        prepare(base, write(tmp_path / "no.jsonl", [{"code": "return 1"}]), None, TrainOptions())
    unstated = write(tmp_path / "s.jsonl", [{"code": "return 1", "passed": True}])
    with pytest.raises(ToolkitError, match="run gavel label, which notes it"):
        prepare(base, unstated, None, TrainOptions(objective="rankef"))


def test_a_problem_on_both_sides_is_refused(base: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    for name, task in (("train", "Java/1"), ("validation", "Python/1")):
        row = toys.row(1, [True, False], chance, task_id=task, source="HumanEval/1")
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ToolkitError, match="HumanEval/1"):
        prepare(base, tmp_path / "train.jsonl", tmp_path / "validation.jsonl", TrainOptions())


@pytest.mark.parametrize(("right", "most", "expected"), [(5, 4, 2), (1, 4, 1), (9, 4, 3), (3, 20, 3)])
def test_drawn_candidates_are_balanced_as_far_as_there_are_both(right: int, most: int, expected: int) -> None:
    examples = [Example(i, [1], i < right) for i in range(10)]
    taken = drawn(TaskExamples("t", "t", [1], examples), most, random.Random(0))
    assert len(taken) == min(most, 10)
    assert sum(each.passed for each in taken) == expected
    assert len({each.position for each in taken}) == len(taken)


def test_a_long_task_is_read_in_several_goes() -> None:
    examples = [Example(i, [5] * 30, True) for i in range(7)]
    found = packs(TaskExamples("t", "t", [1] * 40, examples), examples, 140)
    assert [len(pack.examples) for pack in found] == [3, 3, 1]
    assert all(len(pack) <= 140 for pack in found)
    assert [each.position for pack in found for each in pack.examples] == list(range(7))


def test_feedback_says_what_execution_said() -> None:
    def said(status: str, **feedback: Any) -> dict[str, Any]:
        return {"task_id": "a", "candidates": [{"code": "x", "status": status, "feedback": feedback or None}]}

    crash = said("exception", kind="ArithmeticException", message="/ by zero", line=3, text="  return a / b;")
    assert LABELS[label_of(crash, 0)] == "execution error"
    assert words_of(crash, 0) == "The code fails in line 3: return a / b;\nArithmeticException: / by zero"
    wrong = said("wrong", kind="AssertionError", message="test 2")
    assert LABELS[label_of(wrong, 0)] == "intent error"
    assert words_of(wrong, 0) == "The code runs but does not do what is asked. AssertionError: test 2"
    assert LABELS[label_of(said("pass"), 0)] == "correct"
    assert LABELS[label_of(said("timeout"), 0)] == "execution error"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"objective": "dpo"}, "objective is 'dpo'"), ({"rank": 0}, "rank is 0"), ({"warmup": 1.0}, "warmup is 1.0")],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolkitError, match=message):
        TrainOptions(**options)
