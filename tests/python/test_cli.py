"""The command line: every command on a tiny bundle, resuming after a kill, and what bad input gets."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import gavel
from gavel.cli.app import app
from gavel.toolkit import datasets

ROOT = Path(__file__).resolve().parents[2]
FEW = ("-n", "3", "--max-tokens", "8")
ROWS = [
    {
        "task_id": f"Sums/{i}",
        "language": "python",
        "prompt": f"def add_{i}(a, b):\n",
        "entry_point": f"add_{i}",
        "test": f"\n\ndef check(candidate):\n    assert candidate(1, {i}) == {1 + i}\n",
        "extra": {"kept": i},
    }
    for i in range(4)
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def done(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: object, code: int = 1) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return result.stderr


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as lines:  # not str.splitlines, which also breaks lines inside of texts
        return [json.loads(line) for line in lines]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return write(tmp_path / "tasks.jsonl", ROWS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


# ---- Every command ---------------------------------------------------------------------------------------------------


def test_solve_writes_every_task_once(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    printed = done("solve", tasks, "-o", out, "-g", tiny_bundle, *FEW, "--seed", 1).stdout
    assert "4 done now" in printed and "untrained" in printed
    for row, task in zip(read(out), ROWS, strict=True):
        assert {key: row[key] for key in task} == task
        assert [each["index"] for each in row["candidates"]] == [0, 1, 2]
        best = row["candidates"][row["best"]]
        assert best["score"] == max(each["score"] for each in row["candidates"])
        fields = {"code", "raw", "tokens", "mean_logprob", "finish", "index", "probe_p_correct"}
        assert set(best) == fields | {"score", "verdicts", "multiplicity", "representative"}
        verdict = best["verdicts"][0]
        said = {"probabilities", "feedback", "truncated"}
        assert set(verdict) == {"judge", "kind", "trained", "p_correct", "logit", "decision"} | said
        assert verdict["kind"] == "verbalizer" and verdict["trained"] is False
        assert row["run"]["options"]["seed"] == 1 and row["run"]["tokens"]["sampled"] > 0
        assert len(row["run"]["digests"]["generator"]) == 64 and row["run"]["reason"]


def test_generate_judge_rank_agree_with_solve(tasks: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    made, judged, ranked, solved = (tmp_path / f"{name}.jsonl" for name in ("made", "judged", "ranked", "solved"))
    done("generate", tasks, "-o", made, "-g", tiny_bundle, *FEW)
    done("judge", made, "-o", judged, "-j", f"{tiny_bundle}:verbalizer")
    done("rank", judged, "-o", ranked)
    done("solve", tasks, "-o", solved, "-g", tiny_bundle, "-j", "verbalizer", *FEW)
    for one, other in zip(read(ranked), read(solved), strict=True):
        assert one["best"] == other["best"]
        for a, b in zip(one["candidates"], other["candidates"], strict=True):
            assert a["code"] == b["code"] and a["tokens"] == b["tokens"]
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)
        assert one["run"]["digests"] == other["run"]["digests"]
        assert one["run"]["options"] == other["run"]["options"]


def test_rows_from_elsewhere_are_judged_and_ranked(tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    candidates = [{"code": "return a;", "passed": True, "feedback": "ok"}, {"code": "return b;", "passed": False}]
    rows = [{"task_id": "a", "docstring": "/** First. */", "candidates": candidates}]
    file = write(tmp_path / "rows.jsonl", rows)
    done("rank", file, "-o", out, "-j", tiny_bundle)
    row = read(out)[0]
    assert row["candidates"][0]["passed"] is True and row["candidates"][0]["feedback"] == "ok"
    assert row["best"] in (0, 1)


def test_one_task_in_words_and_from_a_file(tmp_path: Path, tiny_bundle: Path) -> None:
    printed = done("solve", "--task", "Add two numbers.", "--language", "java", "-g", tiny_bundle, *FEW).stdout
    assert "P(correct)" in printed and "untrained" in printed
    begun = tmp_path / "begun.py"
    begun.write_text("def add(a, b):\n")
    row = json.loads(done("solve", "--task", begun, "-g", tiny_bundle, *FEW, "--json").stdout)
    assert row["language"] == "python" and row["run"]["options"]["prompting"] == "completion"
    row = json.loads(done("generate", "--task", "Add two numbers.", "-g", tiny_bundle, *FEW, "--json").stdout)
    assert row["run"]["options"]["prompting"] == "chat" and "best" not in row


def test_solve_without_a_judge(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    summary = json.loads(done("solve", tasks, "-o", out, "-g", tiny_bundle, "-j", "none", *FEW, "--json").stdout)
    assert summary["judges"] == [] and summary["done"] == 4 and summary["sampled_tokens"] > 0
    for row in read(out):
        best = row["candidates"][row["best"]]
        assert best["verdicts"] == []


def test_inspect(tiny_bundle: Path) -> None:
    printed = done("inspect", tiny_bundle, "--memory", "4,32").stdout
    assert "llama" in printed and "apache-2.0" in printed and "untrained" in printed and "4 candidates" in printed
    found = json.loads(done("inspect", tiny_bundle, "--verify", "--json", "--memory", "4,32,8").stdout)
    assert found["verified"] and found["manifest"]["precision"] == "fp32"
    memory = found["memory"]
    assert memory["total"] == sum(memory[part] for part in ("weights", "prefix", "own", "scratch"))


def test_inspect_refuses_flipped_weights(tiny_copy: Path, flip: Callable[[Path, int], None]) -> None:
    flip(tiny_copy / "weights.safetensors", -20)
    assert "weights.safetensors" in refused("inspect", tiny_copy, "--verify")


def test_label_and_fit_probe(tasks: Path, tmp_path: Path, tiny_copy: Path) -> None:
    made, labelled = tmp_path / "made.jsonl", tmp_path / "labelled.jsonl"
    done("generate", tasks, "-o", made, "-g", tiny_copy, *FEW, "--no-language-stops")
    rows = read(made)
    for row in rows:  # the tiny model writes nonsense, so some right ones are put among it
        row["candidates"][1] |= {"code": "    return a + b\n", "tokens": None, "mean_logprob": None}
    write(made, rows)
    summary = json.loads(done("label", made, "-o", labelled, "--no-sandbox", "--json").stdout)
    assert summary["tasks"] == 4 and summary["statuses"]
    assert all(row["candidates"][1]["passed"] for row in read(labelled))
    fitted = json.loads(done("fit-probe", tiny_copy, labelled, "--layer", 1, "--folds", 2, "--json").stdout)
    assert {part["layer"] for part in fitted["terms"]} == {1} and fitted["attached"]
    assert set(fitted["seconds"]) == {"states", "fit"}
    printed = done("inspect", tiny_copy).stdout
    assert "layer 1" in printed
    assert gavel.Model.open(tiny_copy, self_test=True).has_probe


def test_help_shows_examples() -> None:
    printed = done("--help").stdout
    for name in ("pull", "export", "inspect", "generate", "judge", "rank", "solve", "label", "fit-probe", "calibrate"):
        assert name in printed
        assert f"gavel {name}" in done(name, "--help").stdout.split("Examples:")[1]
    assert gavel.__version__ in done("--version").stdout


def test_pull_lists_and_refuses() -> None:
    known = json.loads(done("pull", "--list", "--json").stdout)
    assert any(each["license"] == "apache-2.0" for each in known)
    assert known[0]["name"] in refused("pull", "no-such-model")


# ---- Going on after a kill -------------------------------------------------------------------------------------------


def test_resume_after_a_cut_line(tasks: Path, tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    command = ("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    done(*command)
    whole = read(out)
    data = out.read_bytes()
    out.write_bytes(data[:-40])
    result = done(*command, "--json")
    assert "cut short" in result.stderr
    summary = json.loads(result.stdout)
    assert (summary["resumed"], summary["done"]) == (3, 1)
    assert without_times(read(out)) == without_times(whole)
    assert json.loads(done(*command, "--json").stdout)["done"] == 0


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"run": {key: value for key, value in row["run"].items() if key != "seconds"}} for row in rows]


def test_limit_may_grow(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    command = ("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    done(*command, "--limit", 1)
    done(*command, "--limit", 3)
    assert [row["task_id"] for row in read(out)] == ["Sums/0", "Sums/1", "Sums/2"]


def test_killed_and_resumed(tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    rows = [row | {"task_id": f"{row['task_id']}/{i}"} for i in range(15) for row in ROWS]
    tasks = write(tmp_path / "many.jsonl", rows)
    arguments = [tasks, "-o", out, "-g", tiny_bundle, *FEW]
    command = [sys.executable, "-m", "gavel", "solve", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings/python"), "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        before = out.stat().st_size if out.exists() else 0
        while process.poll() is None and (not out.exists() or out.stat().st_size < before + 5000):
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert 0 < len(read_whole(out)) < len(rows)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert [row["task_id"] for row in read(out)] == [row["task_id"] for row in rows]


def read_whole(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as lines:
        return [json.loads(line) for line in lines if line.endswith(b"\n")]


def test_ctrl_c_ends_with_130(tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    tasks = write(tmp_path / "long.jsonl", [row | {"task_id": str(i)} for i in range(300) for row in ROWS[:1]])
    command = [sys.executable, "-m", "gavel", "generate", tasks, "-o", out, "-g", tiny_bundle, "-n", "64"]
    process = subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"PYTHONPATH": str(ROOT / "bindings/python")},
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background may have been started with the signal ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and (not out.exists() or out.stat().st_size == 0):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in said
    assert read(out)


def test_other_options_are_refused_with_what_differs(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    command = ("generate", tasks, "-o", out, "-g", tiny_bundle)
    done(*command, *FEW)
    before = out.read_bytes()
    said = refused(*command, *FEW, "--seed", 9, "--temperature", 0.5)
    assert "seed was 0, is now 9" in said and "temperature was 0.8, is now 0.5" in said and "--overwrite" in said
    assert "command was" in refused("solve", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    assert out.read_bytes() == before
    done(*command, *FEW, "--seed", 9, "--overwrite")
    assert read(out)[0]["run"]["options"]["seed"] == 9 and len(read(out)) == 4


def test_another_bundle_is_refused(tasks: Path, out: Path, tiny_copy: Path) -> None:
    done("generate", tasks, "-o", out, "-g", tiny_copy, *FEW)
    manifest = json.loads((tiny_copy / "gavel.json").read_text())
    (tiny_copy / "gavel.json").write_text(json.dumps(manifest | {"name": "another"}))
    assert "bundles.generator" in refused("generate", tasks, "-o", out, "-g", tiny_copy, *FEW)


def test_rows_of_unknown_making_are_refused(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    write(out, ROWS[:1])
    assert "--overwrite" in refused("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    assert read(out) == ROWS[:1]


def test_full_disk_names_the_file_and_keeps_finished_rows(
    tasks: Path, out: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, rows = os.write, 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal rows
        if b"Sums/" not in data:
            return real(descriptor, data)
        rows += 1
        if rows <= 2:
            return real(descriptor, data)
        if rows == 3:
            return real(descriptor, data[:30])  # a disk that fills up in the middle of a row
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def after_a_part(descriptor: int, data: bytes) -> int:
        if rows == 3 and b"Sums/" not in data[:30]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return full(descriptor, data)

    command = ("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    monkeypatch.setattr(datasets.os, "write", after_a_part)
    said = refused(*command)
    assert str(out) in said and "No space left" in said
    assert [row["task_id"] for row in read(out)] == ["Sums/0", "Sums/1"]
    monkeypatch.undo()
    done(*command)
    assert [row["task_id"] for row in read(out)] == [row["task_id"] for row in ROWS]


def test_one_process_at_a_time(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    import fcntl

    done("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    with out.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another gavel" in refused("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)


# ---- Bad input -------------------------------------------------------------------------------------------------------


def test_a_task_that_fails_is_reported_and_left_out(tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    rows = [ROWS[0], ROWS[1] | {"prompt": "word " * 2000}, ROWS[2] | {"prompt": ""}, ROWS[3]]
    tasks = write(tmp_path / "tasks.jsonl", rows)
    result = run("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW, "--json")
    assert result.exit_code == 1
    assert [row["task_id"] for row in read(out)] == ["Sums/0", "Sums/3"]
    assert set(json.loads(result.stdout)["failed"]) == {"Sums/1", "Sums/2"}
    write(tasks, ROWS)
    done("generate", tasks, "-o", out, "-g", tiny_bundle, *FEW)
    assert sorted(row["task_id"] for row in read(out)) == [row["task_id"] for row in ROWS]


@pytest.mark.parametrize(
    "options",
    [
        ("-n", "0"),
        ("-n", "10000"),
        ("--temperature", "nan"),
        ("--temperature", "-1"),
        ("--top-p", "2"),
        ("--max-tokens", "0"),
        ("--seed", "-1"),
        ("--limit", "0"),
        ("--prompting", "shout"),
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_usage_errors(
    options: tuple[str, ...], tasks: Path, out: Path, tiny_bundle: Path
) -> None:
    said = refused("generate", tasks, "-o", out, "-g", tiny_bundle, *options, code=2)
    assert options[0] in said
    assert not out.exists()


def test_what_solve_needs(tasks: Path, tiny_bundle: Path) -> None:
    assert "--task" in refused("solve", "-g", tiny_bundle, code=2)
    assert "--output" in refused("solve", tasks, "-g", tiny_bundle, code=2)
    assert "--generator" in refused("solve", tasks, "-o", "x.jsonl", code=2)
    assert "not both" in refused("solve", tasks, "--task", "Add two numbers.", "-g", tiny_bundle, code=2)


def test_files_that_are_refused(tmp_path: Path, tasks: Path, out: Path, tiny_bundle: Path) -> None:
    def said(file: Path, output: Path = out, bundle: Path = tiny_bundle) -> str:
        return refused("generate", file, "-o", output, "-g", bundle, *FEW)

    assert "nothing.jsonl" in said(tmp_path / "nothing.jsonl")
    assert "nothing.gavel" in said(tasks, bundle=tmp_path / "nothing.gavel")
    assert "input" in said(tasks, output=tasks)
    assert "ordinary" in said(tasks, output=Path(os.devnull))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"task_id": "a", "prompt": "x"}\n{"task_id": \n')
    assert "broken.jsonl:2" in said(broken)
    broken.write_bytes(b'{"task_id": "a", "prompt": "\xff"}\n')
    assert "broken.jsonl:1" in said(broken)
    assert "unique" in said(write(broken, [ROWS[0], ROWS[0]]))
    assert "task_id" in said(write(broken, [{"prompt": "x"}]))
    assert "no rows" in said(write(broken, []))
    assert not out.exists()


def test_rows_without_candidates(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    assert "gavel generate" in refused("judge", tasks, "-o", out, "-j", tiny_bundle)
    assert "--judge" in refused("judge", tasks, "-o", out)


def test_empty_candidates_are_wrong_without_asking(tmp_path: Path, out: Path, tiny_bundle: Path) -> None:
    candidates = [{"code": ""}, {"code": "    return a + b\n"}]
    file = write(tmp_path / "rows.jsonl", [ROWS[0] | {"candidates": candidates}])
    done("judge", file, "-o", out, "-j", f"{tiny_bundle}:verbalizer")
    first, second = (each["verdicts"][0] for each in read(out)[0]["candidates"])
    assert (first["p_correct"], first["decision"], first["logit"]) == (0.0, "wrong", None)
    assert second["logit"] is not None


def test_cuda_where_there_is_none(tasks: Path, out: Path, tiny_bundle: Path) -> None:
    assert "cuda:99" in refused("generate", tasks, "-o", out, "-g", tiny_bundle, "--device", "cuda:99")


def test_export_refuses(tmp_path: Path) -> None:
    assert "nothing" in refused("export", tmp_path / "nothing")
