"""The whole line of a study on a tiny model, from ready candidates to the report; and what its file may say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import Server, said, serving
from programs import needs_sandbox
from typer.testing import CliRunner
from typer.testing import Result as CommandResult

import gavel
from gavel.cli.app import app
from gavel.toolkit import datasets, formats
from gavel.toolkit.adapter import adapt
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.format_writers import WRITERS
from gavel.toolkit.study.plan import plan
from gavel.toolkit.study.run import Result, run
from gavel.toolkit.study.stages import Runner
from gavel.toolkit.study.study_file import StudyFile, of_values, read

RIGHT = ("return x * x", "return x ** 2")
WRONG = ("return x", "return x + x", "return 9", "return x * 3")


def rows(prefix: str, count: int) -> list[dict[str, Any]]:
    """Tasks with six candidates each, two of them right, in an order that differs from task to task."""
    found = []
    for number in range(count):
        codes = [*RIGHT, *WRONG]
        codes = codes[number % 6 :] + codes[: number % 6]
        candidates = [
            {
                "code": f"    {code}  # {number}\n",
                "index": index,
                "mean_logprob": -0.1 * (index + 1),
                "passed": code in RIGHT,
                "status": "pass" if code in RIGHT else "wrong",
            }
            for index, code in enumerate(codes)
        ]
        found.append(
            {
                "task_id": f"{prefix}/{number}",
                "language": "python",
                "prompt": f'def f{number}(x):\n    """{WORDS[number]}"""\n',
                "entry_point": f"f{number}",
                "test": "def check(candidate):\n    assert candidate(3) == 9\n    assert candidate(4) == 16\n",
                "candidates": candidates,
                "run": {
                    "seconds": {"prefill": 0.5, "decode": 3.0, "sample": 0.0},
                    "tokens": {"prompt": 30, "sampled": 60},
                },
            }
        )
    return found


# As different as near-duplicate checks want tasks to be.
WORDS = [
    "Square a whole number.",
    "The area of a tile whose edge is given.",
    "How many seats has a hall with as many rows as seats in one?",
    "Multiply what comes in by itself, negative numbers too.",
    "Second power, as on a pocket calculator.",
    "Trees in an orchard planted in equal lines and columns.",
    "Pixels of a picture that is as wide as high.",
    "Cells of a chess board of any edge.",
    "Handshakes when everybody greets all, oneself included.",
    "Distance fallen is proportional to this of the time.",
    "The sum of the first odd numbers, so many of them.",
    "Games in a league with home and away, and one against oneself.",
]


def write(path: Path, content: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path.name


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A remote judge that is always right."""

    def answer(body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        right = any(code in body["messages"][0]["content"] for code in RIGHT)
        return (
            200,
            said("Yes" if right else "No", {"Yes": -0.1, "No": -3.0} if right else {"No": -0.1, "Yes": -3.0}),
            {},
        )

    with serving(answer) as served:
        yield served


class Line:
    def __init__(self, folder: Path, bundle: Path, url: str) -> None:
        self.folder = folder
        every = rows("p", 12)
        tasks = write(folder / "tasks.jsonl", [{k: v for k, v in row.items() if k != "candidates"} for row in every])
        own = write(folder / "own.jsonl", every)
        greedy = write(folder / "greedy.jsonl", [row | {"candidates": row["candidates"][:1]} for row in every])
        turned = [row | {"candidates": row["candidates"][::-1]} for row in every]
        other = str(folder / "other.jsonl.gz")  # samples, which need their tasks
        formats.write(other, WRITERS["samples"](map(formats.record, turned)))
        far = write(folder / "far.jsonl", rows("q", 5))
        self.said: dict[str, Any] = {
            "name": "tiny",
            "tasks": {"files": [tasks], "test": {"p": 4}, "validation": 0.25},
            "generators": [
                {"name": "writer", "bundle": str(bundle), "rows": [own], "greedy_rows": [greedy], "candidates": 6},
                {"name": "other", "rows": [other], "parts": ["test"], "greedy": False, "candidates": 6},
            ],
            "larger": [{"name": "large", "greedy_rows": [greedy], "parameters": 7_000_000_000}],
            "judges": [
                {"name": "asked", "bundle": str(bundle), "kind": "verbalizer"},
                {"name": "taught", "base": str(bundle), "train": {"max_steps": 2, "evaluations": 1}},
                {"name": "probe", "probe": "writer"},
                {"name": "far", "remote": {"url": url, "model": "m"}},
            ],
            "teams": [
                {"name": "both", "judges": ["taught", "probe"]},
                {"name": "fitted", "judges": ["asked", "probe"], "fit": True},
            ],
            "elsewhere": [{"name": "elsewhere", "generator": "somebody", "files": [far]}],
            "calibrate": {"min_each": 1, "folds": 2},
            "prices": {"usd_per_million_tokens": {"far": [0.4, 1.6]}},
        }

    def file(self, **changes: Any) -> StudyFile:
        return of_values(self.said | changes, self.folder)

    def run(self, **how: Any) -> Result:
        return run(how.pop("file", None) or self.file(), Runner(self.folder / "study"), **how)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, server: Server) -> Line:
    made = Line(tmp_path_factory.mktemp("study"), tiny_bundle, server.url)
    made.run(remote=True)
    return made


def analysis(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((line.folder / "study" / "analysis.json").read_bytes())
    return found


def test_the_report_and_what_is_beside_it_are_there(line: Line) -> None:
    folder = line.folder / "study"
    assert "tiny" in (folder / "report.html").read_text()
    assert any((folder / "csv").iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "stages",
        "report.html",
        "analysis.json",
        "csv",
        "figures",
        "judges",
        ".lock",
    }


def test_who_judges_which_candidates_may_be_said(line: Line) -> None:
    (far,), (writer, other) = line.said["elsewhere"], line.said["generators"]
    changed = line.file(
        elsewhere=[far | {"judges": ["taught"]}], generators=[writer, other | {"judges": ["taught", "probe"]}]
    )
    result = line.run(file=changed, remote=True)
    judged = {(each["test_set"], each["generator"], each["judge"]) for each in analysis(line)["judging"]}
    assert {judge for _, generator, judge in judged if generator == "somebody"} == {"taught"}
    assert {judge for _, generator, judge in judged if generator == "other"} == {"taught", "probe"}
    assert {judge for _, generator, judge in judged if generator == "writer"} == {"asked", "taught", "probe", "far"}
    assert {each.state for name, each in result.outcomes.items() if name.startswith("judge")} == {"cached"}
    line.run(remote=True)


def test_a_judge_that_is_named_has_to_be_there(line: Line) -> None:
    (far,) = line.said["elsewhere"]
    with pytest.raises(ToolkitError, match="elsewhere: no judge is called nobody"):
        line.file(elsewhere=[far | {"judges": ["nobody"]}])


def test_what_was_trained_is_there_to_take_away(line: Line, tiny_copy: Path) -> None:
    folder = line.folder / "study" / "judges" / "taught"
    assert {"adapter_model.safetensors", "judge.json", "training.json"} <= {path.name for path in folder.iterdir()}
    calibration = json.loads((folder / "judge.json").read_bytes()).get("calibration") or {"scale": 1.0, "shift": 0.0}
    adapted = adapt(tiny_copy, folder)
    assert json.loads((adapted / "adapter.json").read_bytes())["judge"]["calibration"] == calibration


def test_judges_are_what_they_were_made_as(line: Line) -> None:
    found = {each["label"]: (each["kind"], each["role"], each["trained_on"]) for each in analysis(line)["judges"]}
    assert found == {
        "asked": ("verbalizer", "zero-shot", None),
        "taught": ("verbalizer", "fine-tuned", "writer"),
        "probe": ("probe", "probe", "writer"),
        "far": ("remote", "remote", None),
    }


def test_every_judge_judged_every_test_candidate_and_those_from_elsewhere(line: Line) -> None:
    found = analysis(line)
    assert {
        (each["test_set"], each["generator"], each["tasks"], each["candidates"]) for each in found["generators"]
    } == {
        ("test", "writer", 4, 24),
        ("test", "other", 4, 24),
        ("elsewhere", "somebody", 5, 30),
    }
    judged = [each for each in found["judging"] if each["generator"] != "all" and each["subset"] == "all"]
    assert {(each["judge"], each["generator"]) for each in judged} == {
        (judge, generator)
        for judge in ("asked", "taught", "probe", "far")
        for generator in ("writer", "other", "somebody")
    }
    assert all(each["candidates"] == 6 * each["tasks"] and each["unjudged"] == 0 for each in judged)


def test_a_judge_that_is_always_right_is_found_to_be(line: Line) -> None:
    found = analysis(line)
    far = [each for each in found["judging"] if each["judge"] == "far"]
    assert far and all(each["auroc"]["value"] == 1 and each["accuracy"]["value"] == 1 for each in far)
    ranked = {(each["generator"], each["way"], each["n"]): each["pass_at_1"]["value"] for each in found["ranking"]}
    assert ranked["writer", "far", 2] == pytest.approx(ranked["writer", "oracle", 2])
    assert ranked["writer", "generator alone", 1] == pytest.approx(1 / 3)


def test_teams_rivals_and_the_larger_generator_are_there(line: Line) -> None:
    found = analysis(line)
    assert {"both", "log-likelihood", "surface features"} <= {each["way"] for each in found["ranking"]}
    assert [(each["model"], each["parameters"]) for each in found["larger"]] == [("large", 7_000_000_000)]


def test_what_a_model_takes_comes_from_its_rows(line: Line) -> None:
    """Reading a task 0.5 s, writing its six candidates 3 s."""
    costs = [each for each in analysis(line)["costs"] if each["generator"] == "writer"]
    greedy = next(each for each in costs if each["kind"] == "greedy")
    assert greedy["seconds"] == pytest.approx(0.5 + 3.0 / 6)
    far = next(each for each in costs if each["judges"] == ["far"])
    assert far["seconds"] >= 0.5 + far["candidates"] * 3.0 / 6


def test_a_team_is_fitted_and_opens(line: Line) -> None:
    """The probe parts right from wrong on these tasks, so that it has the weight."""
    found = analysis(line)
    fitted = next(each for each in found["teams"] if each["label"] == "fitted")
    assert dict(zip(fitted["judges"], fitted["weights"], strict=True))["probe"] > 0
    assert fitted["log_likelihood"] >= 0
    assert "fitted" in {each["way"] for each in found["ranking"]}
    (file,) = (line.folder / "study" / "stages").glob("team-fitted-*/fitted.team.json")
    team = gavel.Ranker.open(file)
    ranking = team.rank(gavel.Task("def f(x):\n", "python"), ["    return x\n", "    return x * x\n"])
    assert len(ranking.ranked) == 2


def test_where_everything_comes_from_is_said(line: Line) -> None:
    said_of = analysis(line)["data"]
    assert set(said_of["models"]) == {"asked", "taught", "probe", "far"}
    taught = said_of["learning"]["taught, training"]
    assert (taught["objective"], taught["steps"], taught["candidates"]) == ("verbalizer", 2, 36)
    assert {"taught, calibration", "fitted, weights"} <= set(said_of["learning"])
    assert len(said_of["rows_sha256"]["writer, test"]) == 64


def test_again_everything_is_cached_and_nobody_is_called(line: Line, server: Server) -> None:
    asked = len(server.requests)
    assert asked == (24 + 24 + 30)
    again = line.run(remote=True)
    assert {each.state for each in again.outcomes.values()} == {"cached"}
    assert len(server.requests) == asked


def test_endpoints_are_left_out_unless_asked_for(line: Line, server: Server) -> None:
    asked = len(server.requests)
    without = line.run(dry=True)
    assert len(server.requests) == asked
    assert [each for each in without.plan.left_out if "far" in each]
    assert not [name for name in without.outcomes if "far" in name]


@needs_sandbox
def test_a_remote_generator_is_labelled_as_any_other(line: Line, tmp_path: Path) -> None:
    """It answers right and wrong in turn, with two choices at once."""

    def answer(body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        name = re.search(r"def (f\d+)", body["messages"][0]["content"])
        assert name is not None
        texts = [f"```python\ndef {name[1]}(x):\n    {code}\n```" for code in ("return x * x", "return x")]
        return 200, {"choices": [{"message": {"content": text}} for text in texts][: body["n"]]}, {}

    with serving(answer) as served:
        writer = {"name": "far", "remote": {"url": served.url, "model": "m"}, "parts": ["test"], "candidates": 3}
        file = line.file(generators=[writer], judges=[], teams=[], larger=[], elsewhere=[])
        outcomes = run(file, Runner(tmp_path), remote=True, until="label").outcomes
        folders = {name: outcomes[f"label far {name}"].folder for name in ("test", "greedy")}
    found = {name: datasets.read_rows(folder / "rows.jsonl") for name, folder in folders.items() if folder is not None}
    statuses = [[each["status"] for each in row["candidates"]] for row in found["test"]]
    assert statuses == [["pass", "wrong", "pass"]] * 4
    assert [row["candidates"][0]["passed"] for row in found["greedy"]] == [True] * 4
    assert {body["temperature"] for body in served.requests} == {0.8, 0.0}


def made_anew(line: Line, **changes: Any) -> set[str]:
    outcomes = line.run(file=line.file(**changes), remote=True, dry=True).outcomes
    return {name for name, outcome in outcomes.items() if outcome.state == "to do"}


def test_a_changed_team_changes_the_figures_alone(line: Line) -> None:
    assert made_anew(line, teams=[{"name": "other", "judges": ["asked", "probe"]}]) == {"analyse", "report"}


def test_a_changed_training_changes_what_follows_from_it(line: Line) -> None:
    judges = [dict(each) for each in line.said["judges"]]
    judges[1]["train"] = {"max_steps": 3, "evaluations": 1}
    assert made_anew(line, judges=judges) == {
        "train taught",
        "export taught",
        "judge taught validation",
        "calibrate taught",
        "judge taught writer test",
        "judge taught other test",
        "judge taught somebody elsewhere",
        "analyse",
        "report",
    }


def test_a_generator_with_rows_writes_what_is_asked_for_anew(line: Line) -> None:
    writer, other = line.said["generators"]
    stages = {each.name: each for each in plan(line.file(generators=[writer | {"anew": ["test"]}, other])).stages}
    taken, written = stages["generate writer train"], stages["generate writer test"]
    assert "file 1" in taken.inputs and "bundle" not in taken.inputs
    assert "file 1" not in written.inputs and written.inputs["bundle"] == Path(writer["bundle"])
    assert written.options["candidates"] == 6


def test_until_ends_after_a_stage(line: Line) -> None:
    kinds = [each.kind for each in plan(line.file()).until("label")]
    assert set(kinds) == {"split", "generate", "label"}
    with pytest.raises(ToolkitError, match=r"no stage is called 'judging'; there are split, .*report"):
        plan(line.file()).until("judging")


def test_the_bundle_that_was_given_stays_as_it_was(line: Line, tiny_bundle: Path) -> None:
    assert sorted(path.name for path in tiny_bundle.iterdir() if path.name in ("probe.json", "adapters")) == []


FAR = {"name": "far", "remote": {"url": "http://localhost/v1", "model": "m"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"judge": []}, "unknown judge; it may have name, tasks"),
    ({"tasks": {}}, "give either files or split"),
    ({"generators": [{"name": "g"}]}, "generator g: give bundle, remote or rows"),
    ({"generators": [{"name": "g", "bundle": "b", "sampling": {"heat": 1}}]}, "unknown heat; it may have"),
    (
        {"generators": [{"name": "g", "bundle": "b", "candidates": "ten"}]},
        "generators 1, candidates: 'ten'; expected int",
    ),
    ({"generators": [{"name": "g", "rows": ["r"], "anew": ["test"]}]}, "anew asks it to write, and it has neither"),
    ({"generators": [{"name": "g", "bundle": "b", "parts": ["rest"]}]}, "expected one of train, validation, test"),
    ({"judges": [{"name": "j"}]}, "judge j: nothing; give one of bundle, base, adapter, probe, remote"),
    ({"judges": [{"name": "j", "probe": "nobody"}]}, "no generator is called 'nobody'"),
    ({"judges": [{"name": "j", "remote": {"url": "http://x"}}]}, "remote: model missing"),
    ({"judges": [{"name": "j", "bundle": "b"}, {"name": "j", "bundle": "c"}]}, "j is there twice"),
    ({"teams": [{"name": "t", "judges": ["nobody"]}]}, "no judge is called nobody"),
    ({"judges": [FAR], "teams": [{"name": "t", "judges": ["far"], "fit": True}]}, "team t: far is remote"),
    ({"seed": True}, "seed: True; expected int"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:24] for _, message in REFUSED])
def test_what_a_study_cannot_be_is_said(changes: dict[str, Any], message: str) -> None:
    fine = {"name": "s", "tasks": {"files": ["t.jsonl"]}, "generators": [{"name": "g", "bundle": "b"}]}
    of_values(fine, Path())
    with pytest.raises(ToolkitError) as raised:
        of_values(fine | changes, Path())
    assert message in str(raised.value)


def test_a_file_is_read_and_its_paths_start_from_it(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('name = "s"\n[tasks]\nsplit = "split"\n[[generators]]\nname = "g"\nbundle = "../g.gavel"\n')
    found = read(file)
    assert found.tasks.split == tmp_path / "split"
    assert found.generators[0].bundle == tmp_path / "../g.gavel"
    file.write_text("name = ")
    with pytest.raises(ToolkitError, match="not TOML"):
        read(file)


def test_candidates_that_are_missing_are_named(line: Line, tmp_path: Path) -> None:
    write(tmp_path / "few.jsonl", rows("p", 2))
    generators = [{"name": "writer", "rows": [str(tmp_path / "few.jsonl")], "candidates": 6, "greedy": False}]
    judges = [each for each in line.said["judges"] if each["name"] == "asked"]
    file = line.file(generators=generators, judges=judges, teams=[], larger=[])
    with pytest.raises(ToolkitError, match=r"writer: \d of \d tasks have no candidates in few\.jsonl"):
        run(file, Runner(tmp_path / "study"))


def test_training_options_are_looked_at_before_anything_runs(line: Line) -> None:
    judges = [{"name": "j", "base": line.said["judges"][1]["base"], "train": {"epoch": 3}}]
    with pytest.raises(ToolkitError, match="judge j, train: unknown epoch; it may have"):
        plan(line.file(judges=judges, teams=[]))


def command(*arguments: object) -> CommandResult:
    return CliRunner().invoke(app, ["study", *map(str, arguments)])


def test_the_command_says_what_is_to_do_and_does_it(line: Line, tmp_path: Path) -> None:
    file = line.folder / "few.toml"
    file.write_text(
        'name = "few"\n[tasks]\nfiles = ["tasks.jsonl"]\ntest = { p = 4 }\nvalidation = 0.25\n'
        '[[generators]]\nname = "writer"\nrows = ["own.jsonl"]\ngreedy = false\ncandidates = 6\n'
    )
    told = command(file, "-o", tmp_path / "few", "--dry-run")
    assert told.exit_code == 0 and "to do" in told.stdout and "cached" not in told.stdout
    assert not (tmp_path / "few").exists()
    first, again = (command(file, "-o", tmp_path / "few", "--until", "label", "--json") for _ in range(2))
    assert first.exit_code == 0, first.output
    made, cached = (json.loads(each.stdout)["stages"] for each in (first, again))
    assert [each["stage"] for each in made][:2] == ["split", "generate writer train"]
    assert {each["state"] for each in made} == {"made"} and {each["state"] for each in cached} == {"cached"}
    assert json.loads(first.stdout)["report"] is None
    assert "[1/7] split: " in first.stderr and "[7/7] label writer test: cached" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "x"], 2, "give either STUDY.toml or --quick"),
        (["a.toml", "--quick", "-o", "x"], 2, "give either STUDY.toml or --quick"),
        (["a.toml", "-o", "x", "--generator", "b.gavel"], 2, "a study file names its own"),
        (["nowhere.toml", "-o", "x"], 1, "nowhere.toml: No such file"),
    ],
)
def test_the_command_refuses(arguments: list[str], code: int, message: str) -> None:
    result = command(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
