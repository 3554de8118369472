"""Stages: found again by what goes into them, done again where that changed, resumed where they were killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study import energy
from gavel.toolkit.study.stages import Made, Outcome, Runner, Stage, Work


class Line:
    """Three stages: ``a`` and ``b`` read files, ``c`` reads both. ``ran`` says who ran, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran = folder, list[str]()
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")

    def stages(self, **options: int) -> list[Stage]:
        def write(name: str) -> Stage:
            inputs = {
                "a": {"in": self.folder / "one"},
                "b": {"in": self.folder / "two"},
                "c": {"a": Made("a", "out"), "b": Made("b", "out")},
            }[name]

            def run(work: Work) -> None:
                self.ran.append(name)
                said = "".join(path.read_text() for path in work.inputs.values())
                (work.folder / "out").write_text(said.strip())

            return Stage(name, name, 1, run, inputs, options.get(name))

        return [write("a"), write("b"), write("c")]

    def run(self, dry: bool = False, **options: int) -> dict[str, Outcome]:
        self.ran.clear()
        return Runner(self.folder / "study").run(self.stages(**options), dry=dry)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    made = Line(tmp_path)
    made.run()
    assert made.ran == ["a", "b", "c"]
    return made


def states(outcomes: dict[str, Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes.values()]


def test_what_is_there_is_not_made_again(line: Line) -> None:
    outcomes = line.run()
    assert line.ran == []
    assert states(outcomes) == ["cached"] * 3
    folder = outcomes["c"].folder
    assert folder is not None and (folder / "out").read_text() == "12"
    assert folder.parent == line.folder / "study" / "stages" and folder.name.startswith("c-")


def test_content_counts_and_not_the_date(line: Line) -> None:
    os.utime(line.folder / "one", (1, 1))
    line.run()
    assert line.ran == []
    (line.folder / "one").write_text("7")
    outcomes = line.run()
    assert line.ran == ["a", "c"]
    assert outcomes["c"].folder is not None and (outcomes["c"].folder / "out").read_text() == "72"


def test_a_changed_option_runs_what_depends_on_it_alone(line: Line) -> None:
    line.run(c=5)
    assert line.ran == ["c"]
    line.run(b=5)
    assert line.ran == ["b"]  # its output is the same, so nothing changed for c


def test_a_change_that_leaves_the_output_stops_there(line: Line) -> None:
    (line.folder / "two").write_text("2 ")
    line.run()
    assert line.ran == ["b"]


def test_what_was_made_before_a_change_is_there_after_it_is_taken_back(line: Line) -> None:
    (line.folder / "one").write_text("7")
    line.run()
    (line.folder / "one").write_text("1")
    line.run()
    assert line.ran == []


def test_a_dry_run_makes_nothing(line: Line) -> None:
    assert states(line.run(dry=True)) == ["cached"] * 3
    (line.folder / "one").write_text("7")
    assert states(line.run(dry=True)) == ["to do", "cached", "to do"]
    assert line.ran == []


def test_the_record_says_what_went_in(line: Line) -> None:
    folder = line.run(a=3)["a"].folder
    assert folder is not None
    record = json.loads((folder / "stage.json").read_bytes())
    assert record["options"] == 3
    one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # printf 1 | sha256sum
    assert record["inputs"] == {"in": one}


def test_notes_and_seconds_are_kept(tmp_path: Path) -> None:
    def run(work: Work) -> None:
        time.sleep(0.05)
        work.notes.append("one task left out")

    made, again = (Runner(tmp_path).run([Stage("a", "a", 1, run)])["a"] for _ in range(2))
    assert (again.state, again.notes) == ("cached", ["one task left out"])
    assert again.seconds == made.seconds >= 0.05


@pytest.mark.parametrize(("resumes", "found"), [(True, ["half", "ran"]), (False, ["ran"])])
def test_a_stage_that_failed_goes_on_or_starts_anew(tmp_path: Path, resumes: bool, found: Sequence[str]) -> None:
    def fail(work: Work) -> None:
        (work.folder / "half").touch()
        raise ToolkitError("no")

    def run(work: Work) -> None:
        (work.folder / "ran").touch()

    runner = Runner(tmp_path)
    with pytest.raises(ToolkitError, match="no"):
        runner.run([Stage("a", "a", 1, fail, resumes=resumes)])
    assert states(runner.run([Stage("a", "a", 1, run, resumes=resumes)], dry=True)) == ["to do"]
    folder = runner.run([Stage("a", "a", 1, run, resumes=resumes)])["a"].folder
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir() if path.name != "stage.json") == found
    assert len(list((tmp_path / "stages").iterdir())) == 1


def test_a_folder_counts_with_all_its_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "x").write_text("1")
    before = Runner(tmp_path).digest(data)
    (data / "sub" / "x").rename(data / "sub" / "y")
    assert Runner(tmp_path).digest(data) != before


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="nowhere is not there"):
        Runner(tmp_path).run([Stage("a", "a", 1, lambda work: None, {"in": tmp_path / "nowhere"})])


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ToolkitError, match="another study is running"):
            Runner(tmp_path).run([])
        assert Runner(tmp_path).run([], dry=True) == {}


def test_a_killed_stage_repeats_no_task(tmp_path: Path, tiny_bundle: Path) -> None:
    """A generation is killed in the middle; what it had written stands, byte for byte, in what comes out."""
    tasks = tmp_path / "tasks.jsonl"
    rows = [{"task_id": f"t/{n}", "language": "any", "prompt": f"the task {n} is\n"} for n in range(60)]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = f"""
from functools import partial
from pathlib import Path
from gavel.toolkit.study.candidates import generate
from gavel.toolkit.study import energy
from gavel.toolkit.study.stages import Runner, Stage
from gavel.toolkit.study.study_file import Generator

writer = Generator("tiny", bundle=Path({str(tiny_bundle)!r}))
options = {{"candidates": 4, "max_tokens": 48, "language_stops": False, "seed": 3}}
inputs = {{"tasks": Path({str(tasks)!r}), "bundle": writer.bundle}}
run = partial(generate, writer, options, "cpu")
Runner(Path({str(tmp_path / "study")!r})).run([Stage("generate", "generate", 1, run, inputs, options, True)])
"""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | path)
    deadline = time.monotonic() + 120
    written: Path | None = None
    while (written is None or written.read_bytes().count(b"\n") < 5) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        written = next((tmp_path / "study").glob("stages/.generate-*.part/rows.jsonl"), None)
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert written is not None
    before = written.read_bytes()
    whole = before[: before.rindex(b"\n") + 1]
    assert 5 <= whole.count(b"\n") < 60
    subprocess.run([sys.executable, "-c", script], env=os.environ | path, check=True)
    (folder,) = (tmp_path / "study" / "stages").iterdir()
    after = (folder / "rows.jsonl").read_bytes()
    assert after.startswith(whole)
    assert [json.loads(line)["task_id"] for line in after.splitlines()] == [row["task_id"] for row in rows]


def test_energy_is_read_where_the_machine_tells_it(tmp_path: Path) -> None:
    """Packages count, their parts do not; a counter may have started again."""
    for name, spent in (("intel-rapl:0", 900_000), ("intel-rapl:1", 5), ("intel-rapl:0:0", 400_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{spent}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000\n")
    assert energy.counters(tmp_path) == [(900_000, 1_000_000), (5, 1_000_000)]
    assert energy.counters(tmp_path / "nowhere") == []
    assert energy.joules((900_000, 1_000_000), (100_000, 1_000_000)) == pytest.approx(0.2)
    assert energy.joules((100_000, 1_000_000), (900_000, 1_000_000)) == pytest.approx(0.8)
