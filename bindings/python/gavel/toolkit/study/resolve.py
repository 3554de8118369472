"""What a study's file leaves open, settled: what is not called, what judges learn from and run on, their roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gavel.toolkit import bundle as bundles
from gavel.toolkit.judging import JUDGE_FILE
from gavel.toolkit.study.assembly import TRAIN
from gavel.toolkit.study.data import Role
from gavel.toolkit.study.study_file import Judge, StudyFile
from gavel.toolkit.training.train import TRAINING_FILE

ROLES: Mapping[str, Role] = {
    "verbalizer": "fine-tuned",
    "classifier": "classifier",
    "rankef": "rankef",
    "pairwise": "ranking",
    "listwise": "ranking",
}


def allowed(study: StudyFile, *, remote: bool) -> tuple[StudyFile, list[str]]:
    """The study without its endpoints, unless ``remote``; and in words what that leaves out."""
    if remote:
        return study, []
    names = [each.name for each in (*study.generators, *study.larger, *study.judges) if each.remote is not None]
    kept = replace(
        study,
        generators=[each for each in study.generators if each.remote is None],
        larger=[each for each in study.larger if each.remote is None],
        judges=[each for each in study.judges if each.remote is None],
        teams=[each for each in study.teams if not set(each.judges) & set(names)],
    )
    left_out = [f"{name}: remote; named by the study, called with --remote only" for name in names]
    left_out += [f"team {each.name}: it has a remote judge" for each in study.teams if each not in kept.teams]
    return kept, left_out


def teacher(study: StudyFile) -> str | None:
    """The generator that judges learn from where they name none: the first that writes for training tasks."""
    return next((each.name for each in study.generators if TRAIN in each.parts), None)


def resolved(study: StudyFile) -> StudyFile:
    """With every judge's role, what it runs on, and whose candidates it learns or learnt from."""
    bundles_of = {each.bundle.resolve(): each.name for each in study.generators if each.bundle is not None}
    return replace(study, judges=[_judge(each, teacher(study), bundles_of) for each in study.judges])


def _judge(judge: Judge, teacher: str | None, bundles_of: Mapping[Path, str]) -> Judge:
    into = judge.into
    if into is None and judge.base is not None and (Path(judge.base) / bundles.MANIFEST).is_file():
        into = Path(judge.base)
    learns = judge.base is not None or judge.adapter is not None
    role = judge.role or _role(judge)
    runs_on = judge.runs_on or judge.probe or ""
    beneath = judge.bundle or into
    if not runs_on and beneath is not None:
        folder = bundles.base_of(beneath) or beneath
        runs_on = bundles_of.get(folder.resolve(), folder.name.removesuffix(".gavel"))
    generator = judge.generator or judge.probe or (teacher if learns else None)
    calibrate = (learns and not _calibrated(judge)) if judge.calibrate is None else judge.calibrate
    return replace(judge, into=into, role=role, runs_on=runs_on, generator=generator, calibrate=calibrate)


def _calibrated(judge: Judge) -> bool:
    """Whether ready weights say how they are calibrated."""
    noted = None if judge.adapter is None else judge.adapter / JUDGE_FILE
    return noted is not None and noted.is_file() and json.loads(noted.read_bytes()).get("calibration") is not None


def _role(judge: Judge) -> Role:
    if judge.remote is not None:
        return "remote"
    if judge.probe is not None or judge.kind == "probe":
        return "probe"
    if judge.bundle is not None:
        said = bundles.read_model(judge.bundle)
        if judge.kind is None and said.get("probe"):
            return "probe"
        own = said.get("judge") or {}
        return ROLES[own["type"]] if own.get("trained") else "zero-shot"
    objective = judge.train.get("objective", "verbalizer")
    record = judge.adapter / TRAINING_FILE if judge.adapter is not None else None
    if record is not None and record.is_file():
        objective = json.loads(record.read_bytes())["options"]["objective"]
    return ROLES.get(objective, "fine-tuned")
