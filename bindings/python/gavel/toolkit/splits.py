"""Training, validation and test tasks, split by the problem that they state, so that none is on two sides.

Which problems go where is a function of their names and the seed alone: the SHA-256 of both sorts them, so that more
tasks, languages or candidates move nothing that was there. Training and validation tasks that nearly repeat a test
task are dropped, and training tasks that nearly repeat a validation task.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gavel.toolkit import datasets, formats
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.near_duplicates import NearDuplicate, near_duplicates

SPLITS = ("train", "validation", "test")
PAPER = {"HumanEval": 40.0, "MBPP": 64.0}  # test problems (arXiv 2602.11911)
OTHERWISE = 0.25  # of a suite that nobody named


@dataclass(frozen=True)
class Split:
    """The rows of each part, and the rows that are in none, with the reason."""

    rows: dict[str, list[Row]]
    near: list[NearDuplicate]
    dropped: dict[str, str]  # reason, by task
    seed: int

    def report(self) -> dict[str, Any]:
        """Counts, what was dropped and why, and the problems of each part, as plain values."""
        return {
            "seed": self.seed,
            "tasks": {part: len(rows) for part, rows in self.rows.items()},
            "tasks_by_dataset": {
                part: dict(Counter(row["dataset"] for row in rows)) for part, rows in self.rows.items()
            },
            "candidates": {
                part: sum(len(row.get("candidates") or []) for row in rows) for part, rows in self.rows.items()
            },
            "dropped": self.dropped,
            "near_duplicates": [asdict(each) for each in self.near],
            "sources": {part: list(dict.fromkeys(row["source"] for row in rows)) for part, rows in self.rows.items()},
        }

    def write(self, folder: Path) -> None:
        """A file for each part, and ``report.json``."""
        for part, rows in self.rows.items():
            formats.write(folder / f"{part}.jsonl", rows)
        report = json.dumps(self.report(), indent=1, ensure_ascii=False) + "\n"
        datasets.write_atomically(folder / "report.json", report.encode())


def split(
    records: Sequence[Row],
    test: Mapping[str, float] = PAPER,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """``test`` says how many problems of a suite are for testing: a number from 1 on, or a share below 1; a suite that
    it does not name gives a quarter. ``validation`` is a share of the rest. A test problem is one that every data set
    of its suite has, as long as there are such, so that languages can be compared on the same ones.
    """
    if not 0 <= validation < 1:
        raise DatasetError(f"validation is {validation}; it is a share of what is not for testing, from 0 to below 1")
    parts: dict[str, str] = {}
    for suite, problems in _problems(records).items():
        parts |= _parts(suite, problems, test.get(suite, OTHERWISE), validation, seed)
    rows: dict[str, list[Row]] = {part: [] for part in SPLITS}
    dropped: dict[str, str] = {}
    for row in records:
        if row["language"] in datasets.ASSEMBLERS and not row.get("test") and not row.get("candidates"):
            dropped[row["task_id"]] = "no test that can be run, and no candidates"
        else:
            rows[parts[row["source"]]].append(row)
    near: list[NearDuplicate] = []
    for part, against in (("validation", ("test",)), ("train", ("test", "validation"))):
        others = [row for other in against for row in rows[other]]
        found = near_duplicates(rows[part], others) if rows[part] and others else []
        near += found
        dropped |= {each.task: f"{part}: {each.by} nearly that of {each.of} ({each.similarity:.2f})" for each in found}
        sources = {row["source"] for row in rows[part] if row["task_id"] in dropped}
        for row in rows[part]:
            if row["source"] in sources:
                dropped.setdefault(row["task_id"], f"{part}: the same problem ({row['source']}) was dropped elsewhere")
        rows[part] = [row for row in rows[part] if row["source"] not in sources]
    return Split(rows, near, dropped, seed)


def _problems(records: Sequence[Row]) -> dict[str, dict[str, set[str]]]:
    """For each suite its problems, each with the data sets that have it."""
    problems: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in records:
        problems[formats.suite(row)][row["source"]].add(row["dataset"])
    return problems


def _parts(suite: str, problems: dict[str, set[str]], test: float, validation: float, seed: int) -> dict[str, str]:
    everywhere = set.union(*problems.values())
    ordered = sorted(problems, key=lambda problem: hashlib.sha256(f"{seed}:{problem}".encode()).digest())
    shared = [problem for problem in ordered if problems[problem] == everywhere] or ordered
    count = math.ceil(test * len(shared)) if test < 1 else int(test)
    if test < 0 or count > len(shared):
        raise DatasetError(
            f"suite {suite}: {test:g} test problems asked for, of {len(shared)}; give a number up to that, or a share "
            f"below 1 ({suite}=0.25)"
        )
    testing = set(shared[:count])
    rest = [problem for problem in ordered if problem not in testing]
    validating = set(rest[: round(validation * len(rest))])
    return {
        problem: "test" if problem in testing else "validation" if problem in validating else "train"
        for problem in problems
    }
