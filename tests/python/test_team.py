"""Teams with fitted weights: the fit is scikit-learn's, and an opened team scores by the file's arithmetic."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import labelled_toys as toys
import numpy as np
import pytest
import tiny_models as tiny
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_cli import done, read, refused, write
from test_export_lora import LINEARS, adapted

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit import labelled, team_file
from gavel.toolkit.adapter import adapt
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import JudgeWording, export
from gavel.toolkit.fit_team import fit_team, stack
from gavel.toolkit.judge_place import JudgePlace
from gavel.toolkit.team_file import Member

ROOT = Path(__file__).resolve().parents[2]
TASKS, EACH = 40, 10
TASK = gavel.Task("def double(x):\n", "python")
CODES = ["    return 2 * x\n", "    return x\n", "    pass\n" * 20]
NAMES = ("base-fp32:verbalizer", "base-fp32+wide:verbalizer")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base.gavel, which has an adapter."""
    folder = tmp_path_factory.mktemp("team")
    model = tiny.model("llama", max_position_embeddings=1024)
    export(tiny.save(model, folder / "base"), folder / "base.gavel", precision="fp32")
    adapted(tiny.model("llama"), folder / "wide", target_modules=LINEARS)
    adapt(folder / "base.gavel", folder / "wide", judge=JudgeWording(trained=True))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(made / "base.gavel", tmp_path / "models" / "base.gavel")
    return tmp_path


def judge_arguments(folder: Path) -> tuple[object, ...]:
    bundle = folder / "models" / "base.gavel"
    return "-g", bundle, "-j", "verbalizer", "-j", bundle / "adapters" / "wide"


def places(folder: Path) -> list[JudgePlace]:
    bundle = folder / "models" / "base.gavel"
    return [JudgePlace.of(bundle, "verbalizer"), JudgePlace.of(bundle / "adapters" / "wide", None)]


def nobody(folder: Path) -> gavel.Model:
    raise AssertionError(f"{folder} was opened")


def drawn(slopes: tuple[float, float, float] = (1.5, 0.7, 4.0), seed: int = 0) -> tuple[Any, Any]:
    """Standard columns (two judges' log-odds, mean log-probability), and outcomes that they describe."""
    random = np.random.default_rng(seed)
    columns = random.normal(size=(TASKS * EACH, 3))
    columns[:, 1] += columns[:, 0]  # two judges that agree
    columns[:, 2] = 0.2 * columns[:, 2] - 0.5
    return columns, random.random(len(columns)) < expit(columns @ slopes)


def rows(columns: Any, passed: Any) -> list[dict[str, Any]]:
    """Labelled rows with verdicts of both judges; two rows share a problem."""

    def said(at: int) -> dict[str, Any]:
        verdicts = [
            {"judge": name, "kind": "verbalizer", "p_correct": 0.5, "logit": logit}
            for name, logit in zip(NAMES, columns[at], strict=False)
        ]
        return {"mean_logprob": columns[at, 2], "verdicts": verdicts}

    return toys.judged(passed, EACH, said)


def reference(columns: Any, passed: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000)).fit(columns, passed)


# ---- The fit ---------------------------------------------------------------------------------------------------------


def test_weights_are_those_of_logistic_regression(folder: Path) -> None:
    columns, passed = drawn()
    made = fit_team(write(folder / "rows.jsonl", rows(columns, passed)), folder / "t.team.json", places(folder), nobody)
    expected = reference(columns, passed)
    weights = [each["weight"] for each in made.team["members"]]
    stacking = made.team["stacking"]
    assert stacking["logprob_mean"] == pytest.approx(columns[:, 2].mean())
    found = (
        stacking["bias"]
        + columns[:, :2] @ weights
        + stacking["logprob_weight"] * (columns[:, 2] - stacking["logprob_mean"])
    )
    np.testing.assert_allclose(found, expected.decision_function(columns), atol=1e-3)
    assert made.asked == 0 and made.left_out == []


def test_figures_are_out_of_fold_over_problems(folder: Path) -> None:
    columns, passed = drawn()
    made = fit_team(
        write(folder / "rows.jsonl", rows(columns, passed)), folder / "t.team.json", places(folder), nobody, folds=5
    )
    problem = np.arange(len(passed)) // (2 * EACH)
    expected = np.empty(len(passed))
    for training, held_out in GroupKFold(5, shuffle=True, random_state=0).split(columns, groups=problem):
        expected[held_out] = reference(columns[training], passed[training]).decision_function(columns[held_out])
    said = made.team["fit"]
    by_task = passed.reshape(TASKS, EACH)
    figures = said["figures"]
    assert figures["team"]["auroc"] == pytest.approx(roc_auc_score(passed, expected), abs=2e-4)
    assert figures["team"]["brier"] == pytest.approx(brier_score_loss(passed, expit(expected)), abs=2e-4)
    chosen = by_task[np.arange(TASKS), expected.reshape(TASKS, EACH).argmax(axis=1)]
    assert figures["team"]["pass_at_1"] == pytest.approx(chosen.mean(), abs=1e-4)
    assert figures["random"]["pass_at_1"] == pytest.approx(passed.mean(), abs=1e-4)
    assert figures["oracle"]["pass_at_1"] == by_task.any(axis=1).mean()
    first = by_task[np.arange(TASKS), columns[:, 0].reshape(TASKS, EACH).argmax(axis=1)]
    assert figures[NAMES[0]]["pass_at_1"] == pytest.approx(first.mean(), abs=1e-4)
    assert figures[NAMES[0]]["auroc"] == pytest.approx(roc_auc_score(passed, columns[:, 0]), abs=1e-4)
    assert (said["tasks"], said["problems"], said["folds"]) == (TASKS, TASKS // 2, 5)
    assert (said["candidates"], said["correct"]) == (len(passed), passed.sum())
    assert said["labels_sha256"] == labelled.labels_digest(rows(columns, passed))


def test_no_weight_is_negative(folder: Path) -> None:
    """The second judge would be subtracted; without it, the fit is that of the other columns."""
    columns, passed = drawn((2.0, -0.8, 4.0))
    assert reference(columns, passed)[-1].coef_[0, 1] < 0
    found = stack(columns, passed)
    assert found.weights[1] == 0 and found.weights[[0, 2]].min() > 0
    others = reference(columns[:, [0, 2]], passed).decision_function(columns[:, [0, 2]])
    np.testing.assert_allclose(found.logits(columns), others, atol=1e-3)
    made = fit_team(write(folder / "rows.jsonl", rows(columns, passed)), folder / "t.team.json", places(folder), nobody)
    assert made.left_out == made.team["fit"]["left_out"] == [NAMES[1]]
    assert [each["judge"] for each in made.team["members"]] == [NAMES[0]]
    nothing = stack(-columns, passed)
    assert not nothing.weights.any() and expit(nothing.bias) == pytest.approx(passed.mean(), abs=1e-3)


def test_candidates_without_log_probabilities_count_as_average(folder: Path) -> None:
    columns, passed = drawn()
    given = rows(columns, passed)
    for row in given[:10]:
        for candidate in row["candidates"]:
            del candidate["mean_logprob"]
    made = fit_team(write(folder / "rows.jsonl", given), folder / "t.team.json", places(folder), nobody)
    known = columns[10 * EACH :, 2]
    assert made.team["stacking"]["logprob_mean"] == pytest.approx(known.mean())
    assert made.team["fit"]["without_logprob"] == 10 * EACH
    for row in given:
        for candidate in row["candidates"]:
            candidate.pop("mean_logprob", None)
    made = fit_team(write(folder / "rows.jsonl", given), folder / "t.team.json", places(folder), nobody)
    assert made.team["stacking"]["logprob_weight"] == 0 and "mean log-probability" not in made.team["fit"]["figures"]


def test_judges_are_asked_where_rows_have_no_verdict(folder: Path) -> None:
    columns, passed = drawn()
    given = rows(columns, passed)
    for row in given[:3]:
        for candidate in row["candidates"]:
            candidate["verdicts"].pop()
    opened = []

    def open_model(path: Path) -> gavel.Model:
        opened.append(path)
        return gavel.Model.open(path)

    made = fit_team(write(folder / "rows.jsonl", given), folder / "t.team.json", places(folder), open_model)
    assert made.asked == 3 * EACH and opened == [places(folder)[1].folder]


def test_what_cannot_be_fitted_is_refused(folder: Path) -> None:
    columns, passed = drawn()
    given, output = folder / "rows.jsonl", folder / "t.team.json"
    arguments = "team", "fit", given, "-o", output
    write(given, rows(columns, np.zeros(len(passed), bool)))
    assert "0 candidates pass and 400 fail" in refused(*arguments, *judge_arguments(folder))
    write(given, rows(-columns, passed))
    assert "nothing to weigh" in refused(*arguments, *judge_arguments(folder))
    assert "name its bundle with --judge" in refused(*arguments)
    twice = judge_arguments(folder)
    assert f"judge {NAMES[0]} is given twice" in refused(*arguments, *twice, "-j", "verbalizer")
    assert "its judges are: verbalizer" in refused(*arguments, *twice, "-j", "probe")
    assert "no bundle" in refused(*arguments, "-g", folder, "-j", twice[-1])
    assert not output.exists()
    bundle = folder / "models" / "base.gavel"
    probe = {"format": 1, "layers": [1], "weights": [[0.1] * 64], "bias": 0.1, "threshold": 0.5, "abstain_band": 0.0}
    probe |= {
        "calibration": {"scale": 1.0, "shift": 0.0},
        "labels_sha256": labelled.labels_digest(rows(columns, passed)),
    }
    bundles.add_probe(bundle, probe)
    write(given, rows(columns, passed))
    with pytest.raises(ToolkitError, match="these very rows"):
        fit_team(given, output, [JudgePlace.of(bundle, "probe")], nobody)


# ---- An opened team --------------------------------------------------------------------------------------------------

STACKING = gavel.Stacking(bias=-0.25, logprob_weight=0.5, logprob_mean=-1.0)
WEIGHTS = (1.5, 0.5)


@pytest.fixture
def team(folder: Path) -> Path:
    """A team file beside the models' folder."""
    path = folder / "mine.team.json"
    members = [Member(*each) for each in zip(places(folder), WEIGHTS, strict=True)]
    team_file.write(path, folder / "models" / "base.gavel", members, STACKING)
    return path


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_opened_team_scores_as_its_file_says(team: Path, folder: Path) -> None:
    base = gavel.Model.open(folder / "models" / "base.gavel")
    judges = [gavel.Judge(base, "verbalizer"), gavel.Judge(base.adapted("wide"))]
    opened = gavel.Ranker.open(team)
    assert opened.infos() == [each.info() for each in judges] and [each.name for each in opened.infos()] == [*NAMES]
    assert opened.model is not None and opened.model.digest == base.digest
    assert opened.options == gavel.RankOptions("stacked", list(WEIGHTS), STACKING)
    candidates = [gavel.Candidate(CODES[0], logprobs=[-0.5, -1.0]), *CODES[1:]]
    ranking = opened.rank(TASK, candidates)
    logits = np.array([[verdict.logit for verdict in each.judge(TASK, CODES)] for each in judges])
    expected = expit(-0.25 + WEIGHTS @ logits + 0.5 * np.array([0.25, 0, 0]))
    found = {each.candidate.index: each.score for each in ranking.ranked}
    assert [found[index] for index in range(3)] == pytest.approx(expected, abs=1e-5)
    assert ranking.best.candidate.index == expected.argmax() and "stacked" in ranking.reason
    assert ranking.record["options"]["stacking"] == {"bias": -0.25, "logprob_weight": 0.5, "logprob_mean": -1.0}
    same = gavel.Ranker(judges=judges).rank(TASK, candidates, aggregation="stacked", weights=WEIGHTS, stacking=STACKING)
    assert [each.score for each in same.ranked] == [each.score for each in ranking.ranked]
    other = opened.rank(TASK, candidates, aggregation="minimum")
    for each in other.ranked:
        assert each.score == min(verdict.p_correct for verdict in each.verdicts)


def test_an_opened_team_solves(team: Path) -> None:
    ranking = gavel.Ranker.open(team).solve(TASK, candidates=3, max_tokens=8, seed=1, language_stops=False)
    for each in ranking.ranked:
        logits = [verdict.logit for verdict in each.verdicts]
        likely = 0.5 * (each.candidate.mean_logprob + 1.0)
        assert each.score == pytest.approx(expit(-0.25 + np.dot(WEIGHTS, logits) + likely), abs=1e-6)


def test_the_c_abi_opens_teams(team: Path, folder: Path) -> None:
    program = ROOT / "build" / "bin" / "test_capi"
    ran = subprocess.run([program, folder / "models" / "base.gavel", team], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


class Compiler:
    """Knows that what does not end in x cannot be compiled, and nothing of the rest."""

    def info(self) -> gavel.JudgeInfo:
        return gavel.JudgeInfo("compiler", "check", trained=True)

    def judge(self, _task: gavel.Task, candidates: list[gavel.Candidate]) -> list[float]:
        return [0.5 if each.text.endswith("x\n") else 0.0 for each in candidates]


def test_a_judge_of_ones_own_joins_an_opened_team(team: Path) -> None:
    alone = {each.candidate.index: each.score for each in gavel.Ranker.open(team).rank(TASK, CODES).ranked}
    together = gavel.Ranker.open(team).add(Compiler())
    assert together.options.weights == [*WEIGHTS, 1] and together.infos()[2].name == "compiler"
    ranking = together.rank(TASK, CODES)
    assert ranking.ranked[-1].candidate.index == 2 and ranking.ranked[-1].score < 1e-6
    for each in ranking.ranked[:2]:
        assert each.score == pytest.approx(alone[each.candidate.index])


def test_a_team_lies_beside_its_models(team: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert json.loads(team.read_text())["members"][1]["bundle"] == "models/base.gavel/adapters/wide"
    moved = tmp_path_factory.mktemp("elsewhere") / "all"
    shutil.move(folder, moved)
    assert len(gavel.Ranker.open(moved / team.name).infos()) == 2


def test_a_team_is_pinned_with_all_it_names(team: Path) -> None:
    digest = hashlib.sha256(team.read_bytes()).hexdigest()
    assert gavel.Ranker.open(team, pin=digest, verify_weights=True, self_test=True).infos()
    with pytest.raises(gavel.CorruptBundle, match=f"SHA-256 {digest}, the caller pinned 00"):
        gavel.Ranker.open(team, pin="0" * 64)


@pytest.mark.parametrize(("part", "file"), [("base.gavel", "gavel.json"), ("base.gavel/adapters/wide", "adapter.json")])
def test_another_bundle_is_refused_before_it_is_loaded(part: str, file: str, team: Path, folder: Path) -> None:
    manifest = folder / "models" / part / file
    manifest.write_text(manifest.read_text() + "\n")
    (folder / "models" / "base.gavel" / "program.pt").write_bytes(b"no program")  # nobody gets as far
    if file == "adapter.json":
        change(team, generator=None, members=json.loads(team.read_text())["members"][1:])
    with pytest.raises(gavel.CorruptBundle, match=r"mine\.team\.json: .* has digest .*gavel team fit"):
        gavel.Ranker.open(team)


def test_an_adapter_vouches_for_its_base(team: Path, folder: Path) -> None:
    """The base is not named itself; its program is another one, whose hash its manifest knows."""
    base = folder / "models" / "base.gavel"
    (base / "program.pt").write_bytes(b"no program")
    manifest = json.loads((base / "gavel.json").read_text())
    manifest["files"]["program.pt"] = bundles.file_entry(base / "program.pt")
    (base / "gavel.json").write_text(json.dumps(manifest))
    change(team, generator=None, members=json.loads(team.read_text())["members"][1:])
    with pytest.raises(gavel.InvalidArgument, match="was made for a model with digest"):
        gavel.Ranker.open(team)


def test_files_that_are_no_teams_are_refused(team: Path, folder: Path) -> None:
    with pytest.raises(gavel.NotFound, match=r"none\.team\.json"):
        gavel.Ranker.open(folder / "none.team.json")
    whole = json.loads(team.read_text())
    member = whole["members"][0]
    for changes, said in (
        ({"format": 2}, "format version 2, this library reads 1"),
        ({"members": []}, "members is"),
        ({"members": [member | {"kind": "oracle"}]}, r'members\[0\]\.kind is "oracle"'),
        ({"members": [member | {"weight": -1}]}, "weight 0 is -1"),
        ({"members": [member | {"weight": 0}]}, "all weights are 0"),
        ({"members": [member | {"digest": "12"}]}, r"members\[0\]\.digest is"),
        ({"members": [member | {"bundle": "models/none.gavel"}]}, r"none\.gavel"),
        ({"stacking": whole["stacking"] | {"logprob_weight": -1}}, "logprob_weight -1"),
        ({"stacking": {}}, r"stacking\.bias is missing"),
    ):
        change(team, **(whole | changes))
        with pytest.raises(gavel.GavelError, match=said):
            gavel.Ranker.open(team)
    team.write_text("{")
    with pytest.raises(gavel.CorruptBundle, match="is not JSON"):
        gavel.Ranker.open(team)


def test_stacking_needs_its_weights() -> None:
    team = gavel.Ranker(judges=[Compiler()])
    with pytest.raises(gavel.InvalidArgument, match="need their weights"):
        team.rank(TASK, CODES, aggregation="stacked")
    with pytest.raises(gavel.InvalidArgument, match="goes with 'stacked'"):
        team.rank(TASK, CODES, stacking=STACKING)
    assert team.options == gavel.RankOptions() and team.model is None


# ---- The commands ----------------------------------------------------------------------------------------------------


def test_fit_show_solve_and_rank(folder: Path) -> None:
    columns, passed = drawn()
    given, output = write(folder / "rows.jsonl", rows(columns, passed)), folder / "mine.team.json"
    said = " ".join(done("team", "fit", given, "-o", output, *judge_arguments(folder)).stdout.split())
    assert "0 verdicts now, 800 before" in said and "as fitted" in said and "oracle" in said
    found = json.loads(done("team", "show", output, "--json").stdout)
    assert [each["judge"] for each in found["members"]] == [*NAMES]
    assert "400 candidates" in " ".join(done("team", "show", output).stdout.split())

    task = {"task_id": "1", "prompt": TASK.prompt, "language": "python"}
    tasks = write(folder / "tasks.jsonl", [task])
    few = "-n", 3, "--max-tokens", 8, "--seed", 1, "--no-language-stops"
    done("solve", tasks, "-o", folder / "solved.jsonl", "--team", output, *few)
    solved = read(folder / "solved.jsonl")[0]
    assert solved["run"]["options"]["aggregation"] == "stacked"
    assert solved["run"]["options"]["stacking"] == found["stacking"]
    weights = [each["weight"] for each in found["members"]]
    for candidate in solved["candidates"]:
        sum_ = found["stacking"]["bias"] + np.dot(weights, [each["logit"] for each in candidate["verdicts"]])
        likely = candidate["mean_logprob"] - found["stacking"]["logprob_mean"]
        expected = expit(sum_ + found["stacking"]["logprob_weight"] * likely)
        assert candidate["score"] == pytest.approx(expected, abs=1e-5)
    done("rank", folder / "solved.jsonl", "-o", folder / "ranked.jsonl", "--team", output)
    ranked = read(folder / "ranked.jsonl")[0]
    scores = [[each["score"] for each in row["candidates"]] for row in (solved, ranked)]
    assert scores[1] == pytest.approx(scores[0], abs=1e-5) and ranked["best"] == solved["best"]

    again = "solve", tasks, "-o", folder / "again.jsonl", "--team", output
    assert "--judge" in refused(*again, "-j", "verbalizer", code=2)
    assert "--generator" in refused(*again, "-g", folder / "models" / "base.gavel", code=2)
    assert "--weight" in refused(*again, "--weight", 1, code=2)
    change(output, generator=None)
    assert "has no generator" in refused(*again)
    manifest = folder / "models" / "base.gavel" / "gavel.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert "which has changed" in " ".join(done("team", "show", output).stdout.split())
    assert "gavel team fit" in refused("rank", folder / "solved.jsonl", "-o", folder / "x.jsonl", "--team", output)
    change(output, members=[{"bundle": "models/base.gavel"}])
    assert "members[0] lacks digest, kind, weight" in refused("team", "show", output)
    output.write_text("[]")
    assert "no team file of format 1" in refused("team", "show", output)
    assert "no team file at" in refused("team", "show", folder / "none.team.json")
