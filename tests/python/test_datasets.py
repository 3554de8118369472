"""Rows: what they mean, and that a kill at any byte of an append loses no row and repeats none."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, RowWriter


def test_every_cut_of_the_last_line_resumes(tmp_path: Path) -> None:
    rows = [{"task_id": "a", "text": "é\n"}, {"task_id": "b", "text": "x" * 10}]
    whole = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    first = whole.index(b"\n") + 1
    for cut in range(len(whole) + 1):
        file = tmp_path / f"{cut}.jsonl"
        file.write_bytes(whole[:cut])
        with RowWriter(file) as writer:
            assert writer.finished == ({"a"} if cut >= first else set()) | ({"b"} if cut == len(whole) else set())
            for row in list(writer.pending(rows)):
                writer.append(row)
        assert datasets.read_rows(file) == rows


def test_a_long_partial_line_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"task_id": "a"}\n{"task_id": "b", "text": "' + b"x" * 200_000)
    assert datasets.cut_partial_line(file)
    assert file.read_bytes() == b'{"task_id": "a"}\n'
    assert not datasets.cut_partial_line(file)


def test_a_task_is_never_written_twice(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows.jsonl") as writer:
        writer.append({"task_id": "a"})
        with pytest.raises(DatasetError, match="'a' is there already"):
            writer.append({"task_id": "a"})


def test_a_full_disk_leaves_no_half_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.jsonl"
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) - 10])

    with RowWriter(file) as writer:
        writer.append({"task_id": "a"})
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="free space and run again"):
            writer.append({"task_id": "b", "text": "x" * 30})
        monkeypatch.undo()
        writer.append({"task_id": "c"})
    assert [row["task_id"] for row in datasets.read_rows(file)] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no rows"),
        ('{"task_id": "a"}\n{"task', ":2: not JSON"),
        ("[1]\n", ":1: a list where a JSON object"),
        ('{"prompt": "x"}\n', "task_id is None"),
        ('{"task_id": "a"}\n\n{"task_id": "a"}\n', ":3: task_id 'a' stood in line 1"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    with pytest.raises(DatasetError, match=said):
        datasets.read_rows(file)


def test_meaning_of_rows() -> None:
    java = {"task_id": "HumanEval_java/7", "prompt": "class A {", "language": "java", "test": "class Main {}"}
    assert datasets.dataset(java) == "HumanEval_java"
    elsewhere = {"task_id": "6367", "docstring": "/** Doc. */", "candidates": []}
    assert datasets.prompt(elsewhere) == "/** Doc. */\n"
    assert (datasets.language(elsewhere), datasets.dataset(elsewhere)) == ("any", "all")
    with pytest.raises(DatasetError, match="no test"):
        datasets.program(elsewhere, "")
    with pytest.raises(DatasetError, match="neither prompt nor docstring"):
        datasets.prompt({"task_id": "x"})


def test_write_atomically_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.json"
    datasets.write_atomically(file, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        datasets.write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
