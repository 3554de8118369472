"""A study from its file to its report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gavel.toolkit.study import assembly
from gavel.toolkit.study.plan import KINDS, Plan, plan
from gavel.toolkit.study.stages import RECORD, Outcome, Runner
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
    ``csv`` and ``figures``.

    ``remote`` allows calls to the endpoints that the study names. ``until`` ends after a kind of stage, one of `KINDS`;
    ``dry`` does nothing. A run that was killed goes on where it stopped.
    """
    planned = plan(study, remote=remote)
    outcomes = runner.run(planned.until(until), dry=dry)
    last = outcomes.get("report")
    if last is None or last.folder is None:
        return Result(planned, outcomes)
    analysed = outcomes["analyse"].folder
    assert analysed is not None
    for path in (*last.folder.iterdir(), analysed / assembly.ANALYSIS):
        if path.name != RECORD:
            publish(path, runner.root / path.name)
    return Result(planned, outcomes, runner.root / REPORT)


def publish(source: Path, target: Path) -> None:
    """A copy of a file or folder in place of what is there; a kill leaves the old or the new."""
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
