"""Labelled rows whose candidates pass when they hold a word, so that a judge has something to learn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

RIGHT, WRONG = "Yes", "No"
WORDS = ("a", "b", "task", "in", "the", "is", "return", "add", "+", "language")
STATUS = {True: {"status": "pass"}, False: {"status": "wrong", "feedback": {"kind": "AssertionError", "message": "1"}}}


def row(number: int, outcomes: list[bool], chance: random.Random, **more: Any) -> dict[str, Any]:
    candidates = []
    for at, passed in enumerate(outcomes):
        words = chance.choices(WORDS, k=chance.randint(3, 8))
        words.insert(chance.randrange(len(words)), RIGHT if passed else WRONG)
        said = {"code": f"    {' '.join(words)} {at}\n", "passed": passed, "mean_logprob": -chance.random()}
        candidates.append(said | STATUS[passed])
    text = " ".join(chance.choices(WORDS, k=6))
    return {
        "task_id": f"Toy/{number}",
        "prompt": f"def f{number}():  # {text}\n",
        "language": "python",
        "candidates": candidates,
    } | more


def judged(passed: Any, each: int, said: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``each`` candidates, of which number ``at`` of all has what is ``said(at)`` too; two rows share a
    problem."""
    return [
        {
            "task_id": f"set/{task}",
            "source": f"problem/{task // 2}",
            "prompt": f"def f{task}(x):\n",
            "language": "python",
            "candidates": [
                {"code": f"    return x + {at}\n", "passed": bool(passed[at])} | said(at)
                for at in range(task * each, (task + 1) * each)
            ],
        }
        for task in range(len(passed) // each)
    ]


def write(path: Path, tasks: int, *, candidates: int = 6, seed: int = 0, first: int = 0) -> Path:
    """The first task of three has right candidates alone, the others some of either kind."""
    chance = random.Random(seed)
    with path.open("w") as out:
        for number in range(first, first + tasks):
            outcomes = [number % 3 == 0 or at % 3 == 0 for at in range(candidates)]
            out.write(json.dumps(row(number, outcomes, chance)) + "\n")
    return path
