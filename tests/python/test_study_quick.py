"""`gavel study --quick`: the whole line on the project's own tasks with real models, from nothing to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import real_bundle
from programs import needs_sandbox

MINUTES = 15


def study(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "gavel", "study", "--quick", "-o", str(folder), "--json"]
    command += ["--generator", str(real_bundle("qwen2.5-coder-0.5b-instruct-int8.gavel"))]
    command += ["--judge", str(real_bundle("smollm2-135m-instruct-int8.gavel"))]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    found: dict[str, Any] = json.loads(subprocess.run(command, env=os.environ | path, check=True, stdout=-1).stdout)
    return found


@needs_sandbox
@pytest.mark.timeout((MINUTES + 2) * 60)
def test_from_nothing_to_the_report(tmp_path: Path) -> None:
    begun = time.monotonic()
    made = study(tmp_path / "quick")
    seconds = time.monotonic() - begun
    print(f"gavel study --quick: {seconds:.0f} s")
    assert seconds < MINUTES * 60
    assert {stage["state"] for stage in made["stages"]} == {"made"}
    assert made["left_out"] == []
    folder = tmp_path / "quick"
    assert made["report"] == str(folder / "report.html")
    assert "Quick study" in (folder / "report.html").read_text(encoding="utf-8")
    assert any((folder / "csv").glob("*.csv")) and any((folder / "figures").glob("*.png"))
    sane(json.loads((folder / "analysis.json").read_bytes()))

    begun = time.monotonic()
    again = study(folder)
    assert {stage["state"] for stage in again["stages"]} == {"cached"}
    assert time.monotonic() - begun < 60


def sane(found: dict[str, Any]) -> None:
    """What holds whatever the models wrote."""
    assert {judge["label"]: judge["role"] for judge in found["judges"]} == {
        "zero-shot": "zero-shot",
        "fine-tuned": "fine-tuned",
        "probe": "probe",
    }
    written = next(each for each in found["generators"] if each["dataset"] == "all")
    assert (written["tasks"], written["candidates"]) == (8, 80)
    assert sum(written["statuses"].values()) + written["left_out"] == 80
    assert 0 < written["correct"] < 80
    ranked = {
        (each["way"], each["n"]): each["pass_at_1"]["value"] for each in found["ranking"] if each["dataset"] == "all"
    }
    for n in (2, 5, 10):
        assert ranked["random", n] <= ranked["oracle", n]
        for way in ("zero-shot", "fine-tuned", "probe", "fine-tuned and probe", "log-likelihood", "surface features"):
            assert 0 <= ranked[way, n] <= ranked["oracle", n]
    assert ranked["oracle", 10] == written["solvable"] / 8
    judged = [each for each in found["judging"] if (each["dataset"], each["subset"]) == ("all", "all")]
    assert {each["judge"] for each in judged} == {"zero-shot", "fine-tuned", "probe"}
    for each in judged:
        assert each["candidates"] + each["unjudged"] == 80 - written["left_out"]
        assert sum(each["confusion"].values()) == each["candidates"]
        assert 0 <= each["brier"]["value"] <= 1 and 0 <= each["auroc"]["value"] <= 1
    assert found["data"]["learning"]["fine-tuned, training"]["tasks"] == 12
