"""The models that set-up brings: with a committed judge, and with a team file where the judge has weights for one."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest
import tiny_models as tiny
from test_export_lora import adapted

import gavel

ROOT = Path(__file__).resolve().parents[2]
TASK = gavel.Task('def double(x):\n    """Return twice x."""\n', "python")
WEIGHTS = {
    "members": [{"kind": "verbalizer", "weight": 2.0}],
    "stacking": {"bias": -0.5, "logprob_weight": 3.0, "logprob_mean": -0.25},
    "fit": None,
}

spec = importlib.util.spec_from_file_location("prepare_model", ROOT / "bindings/prepare_model.py")
assert spec and spec.loader
prepare_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare_model)


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A judge's folder, and a checkpoint that every pull finds."""
    model = tiny.model("llama", max_position_embeddings=1024)
    base = tiny.save(model, tmp_path / "base")
    monkeypatch.setattr(prepare_model, "pull", lambda name, progress: base)
    adapted(model, tmp_path / "judge")
    wording = {"plain": True, "trained": True, "positive": ["Yes"], "negative": ["No"]}
    (tmp_path / "judge/judge.json").write_text(json.dumps(wording))
    return tmp_path / "judge"


def test_team_ranks_by_the_committed_weights_after_a_second_set_up_too(judge: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.gavel"
    for weight in (1.0, 2.0):
        said = WEIGHTS | {"members": [{"kind": "verbalizer", "weight": weight}]}
        (judge / "team.json").write_text(json.dumps(said))
        prepare_model.main("model", "fp32", str(bundle), str(judge))
    team = gavel.Ranker.open(tmp_path / "model.team.json")
    ranking = team.rank(TASK, [gavel.Candidate("    return 2 * x\n", logprobs=[-0.25, -0.75])])
    (verdict,) = ranking.best.verdicts
    score = -0.5 + 2.0 * verdict.logit + 3.0 * (-0.5 + 0.25)
    assert ranking.best.score == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-6)
    assert [info.trained for info in team.infos()] == [True]


def test_a_judge_without_team_weights_makes_no_team(judge: Path, tmp_path: Path) -> None:
    prepare_model.main("model", "fp32", str(tmp_path / "model.gavel"), str(judge))
    assert (tmp_path / "model.gavel/adapters/judge").is_dir() and not list(tmp_path.glob("*.team.json"))
