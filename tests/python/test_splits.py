"""Splits: no problem on two sides, the same every time, and what resembles the test tasks is out of training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gavel.cli.app import app
from gavel.toolkit import formats
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.near_duplicates import near_duplicates
from gavel.toolkit.splits import SPLITS, split

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WORDS = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiou"]


def task(identity: str, description: str = "", solution: str = "") -> Row:
    number = sum(map(ord, identity))
    words = " ".join(WORDS[(number * 7 + n * n * (number % 11 + 1)) % len(WORDS)] for n in range(9))
    return formats.record(
        {
            "task_id": identity,
            "language": "python",
            "prompt": "def f():\n",
            "test": "assert f()",
            "description": description or f"{identity} {words}",
            "canonical_solution": solution,
        }
    )


def places(records: list[Row], **options: object) -> dict[str, str]:
    made = split(records, **options)  # type: ignore[arg-type]
    return {row["task_id"]: part for part in SPLITS for row in made.rows[part]}


def test_a_problem_is_on_one_side_in_all_languages() -> None:
    records = [task(f"{suite}/{n}") for suite in ("HumanEval", "HumanEval_java") for n in range(50)]
    where = places(records)
    assert all(where[f"HumanEval/{n}"] == where[f"HumanEval_java/{n}"] for n in range(50))
    counts = [list(where.values()).count(part) for part in SPLITS]
    assert counts == [18, 2, 80]  # 40 problems for testing; a tenth of the other ten


def test_test_problems_are_in_every_language_where_they_can() -> None:
    records = [task(f"MBPP/{n}") for n in range(20)] + [task(f"MBJP/{n}") for n in range(5, 20)]
    where = places(records, test={"MBPP": 10})
    tested = {identity for identity, part in where.items() if part == "test"}
    assert len(tested) == 20 and sum(identity.startswith("MBJP") for identity in tested) == 10


def test_the_same_every_time_and_another_seed_is_another_split() -> None:
    records = [task(f"own/{n}") for n in range(40)]
    where = places(records)
    assert where == places(records[::-1]) == places(records)
    assert where != places(records, seed=1)
    assert list(where.values()).count("test") == 10
    larger = places([*records, *(task(f"other/{n}") for n in range(40))])
    assert {identity: larger[identity] for identity in where} == where


def test_near_duplicates_leave_training() -> None:
    records = [task(f"own/{n}") for n in range(12)]
    where = places(records)
    tested = next(row for row in records if where[row["task_id"]] == "test")
    trained = next(row for row in records if where[row["task_id"]] == "train")
    trained["description"] = tested["description"] + " quickly"
    twin = trained | {"task_id": "twin/1", "description": "quite another thing", "source": trained["source"]}
    made = split([*records, twin])
    assert (trained["task_id"], tested["task_id"]) in {(each.task, each.of) for each in made.near}
    left = {row["task_id"] for row in made.rows["train"]}
    assert trained["task_id"] not in left and "twin/1" not in left
    assert "description nearly that of" in made.dropped[trained["task_id"]]
    assert "dropped elsewhere" in made.dropped["twin/1"]
    assert set(made.report()["dropped"]) == set(made.dropped)


def test_similarity_by_hand() -> None:
    # Pairs of words: 9 and 10, of which 9 are common: 9 / 10. The examples and the language's name do not count.
    first = task("a/1", "Write a Java function to add up all the odd numbers.\n>>> f(1)\n1")
    second = task("a/2", "Write a function to add up all the odd numbers quickly")
    (found,) = near_duplicates([first], [second])
    assert (found.task, found.of, found.by, found.similarity) == ("a/1", "a/2", "description", 0.9)
    # 20 different identifiers, of which the other has 18 and 2 of its own: 18 / 22 of the set, 18 / 22 of the multiset.
    code = "\n".join(f"name{n} = 0" for n in range(20))
    other = code.replace("name0 ", "other0 ").replace("name1 ", "other1 ")
    (found,) = near_duplicates([task("a/3", "x", code)], [task("a/4", "y", other)])
    assert (found.by, found.similarity) == ("solution", round((20 + 18) / (40 + 40 - 38), 4))
    assert near_duplicates([task("a/5", "x", "return a + b")], [task("a/6", "y", "return a + b")]) == []


def test_bad_numbers_are_named() -> None:
    records = [task(f"HumanEval/{n}") for n in range(10)]
    with pytest.raises(DatasetError, match="HumanEval: 40 test problems asked for, of 10; .*HumanEval=0.25"):
        split(records)
    with pytest.raises(DatasetError, match="validation is 1"):
        split(records, test={"HumanEval": 2}, validation=1)


def test_command(tmp_path: Path) -> None:
    source = tmp_path / "tasks.jsonl"
    source.write_bytes(formats.dumps(task(f"HumanEval/{n}") for n in range(20)))
    run = CliRunner().invoke(app, ["data", "split", str(source), "-o", str(tmp_path / "out"), "--test", "HumanEval=5"])
    assert run.exit_code == 0, run.output
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["tasks"]["test"] == 5
    for part in SPLITS:
        lines = (tmp_path / f"out/{part}.jsonl").read_text().splitlines()
        assert len(lines) == report["tasks"][part]
    joined = tmp_path / "joined.jsonl"
    files = [str(tmp_path / f"out/{part}.jsonl") for part in SPLITS]
    assert CliRunner().invoke(app, ["data", "convert", *files, "-o", str(joined)]).exit_code == 0
    assert len(joined.read_text().splitlines()) == 20


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}")
def test_the_papers_proportions() -> None:
    made = split(formats.read_records([DATA / "HumanEval_java_v1.1.jsonl", DATA / "mbjp_release_v1.2.jsonl"]))
    assert made.report()["tasks_by_dataset"]["test"] == {"HumanEval_java": 40, "MBJP": 64}
    sources = [{row["source"] for row in made.rows[part]} for part in SPLITS]
    assert not (sources[0] & sources[1] or sources[0] & sources[2] or sources[1] & sources[2])
    assert sum(map(len, sources)) + len(made.dropped) == 161 + 966
