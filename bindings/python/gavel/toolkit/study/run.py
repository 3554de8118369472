"""A study from its file to its report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gavel.toolkit.study.plan import KINDS, Plan, plan
from gavel.toolkit.study.stages import Outcome, Runner
from gavel.toolkit.study.study_file import StudyFile

REPORT = "report.html"


@dataclass(frozen=True)
class Result:
    """How each stage stands, by its name, and the report where it was reached."""

    plan: Plan
    outcomes: Mapping[str, Outcome]
    report: Path | None = None


def run(study: StudyFile, runner: Runner, *, remote: bool = False, until: str = KINDS[-1], dry: bool = False) -> Result:
    """Does what is to be done of a study in the runner's folder, and puts there ``report.html``, ``analysis.json``,
    ``csv``, ``figures``, and the weights of the judges that it trained in ``judges``.

    ``remote`` allows calls to the endpoints that the study names. ``until`` ends after a kind of stage, one of `KINDS`;
    ``dry`` does nothing. A run that was killed goes on where it stopped.
    """
    planned = plan(study, remote=remote)
    outcomes = runner.run(planned.until(until), dry=dry)
    if dry:
        return Result(planned, outcomes)
    for name, made in planned.results.items():
        outcome = outcomes.get(made.stage)
        if outcome is not None and outcome.folder is not None and (outcome.folder / made.path).exists():
            publish(outcome.folder / made.path, runner.root / name)
    return Result(planned, outcomes, runner.root / REPORT if "report" in outcomes else None)


def publish(source: Path, target: Path) -> None:
    """A copy of a file or folder in place of what is there; a kill leaves the old or the new."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    if source.is_file():
        shutil.copyfile(source, beside)
        beside.replace(target)
        return
    shutil.copytree(source, beside)
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    beside.rename(target)
    shutil.rmtree(old, ignore_errors=True)
