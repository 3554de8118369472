"""Calibrates a judge of a bundle on labelled candidates, and stores with it what its thresholds are worth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit import calibration, datasets
from gavel.toolkit.calibration import Calibration, Doubles, Method
from gavel.toolkit.datasets import Progress
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.judge_place import AskedJudge, JudgePlace
from gavel.toolkit.judging import note
from gavel.toolkit.labelled import Labelled, labelled, labels_digest, require_both


@dataclass(frozen=True)
class CalibrationFit:
    """What a calibration made: ``calibration`` and ``validation`` as the bundle holds them, and the evidence."""

    judge: str
    calibration: dict[str, Any]
    validation: dict[str, Any]
    methods: dict[Method, dict[str, float]]  # out-of-fold figures of all, to compare
    data: Labelled
    out_of_fold: Doubles  # P(correct) of each candidate by the chosen method, from the other problems alone


def calibrate(
    target: str | os.PathLike[str],
    labelled_jsonl: str | os.PathLike[str],
    *,
    method: Method = "platt",
    kind: str | None = None,
    folds: int = 10,
    seed: int = 0,
    min_each: int = 30,
    device: str = "cpu",
    weights: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> CalibrationFit:
    """Fits ``method`` on the log-odds of a judge, and writes it with its figures into the bundle or adapter ``target``.

    ``kind`` is that of the bundle's judge (where None, its probe if it has one, else its other). The rows are ones that
    the judge was not trained on, and say of each candidate whether it ``passed``; where they have no verdict of the
    judge, it is asked. The figures come from a cross-validation over problems; the calibration and the precision of
    every threshold are those on all rows. ``weights`` is the folder that training left, whose ``judge.json`` notes it
    as well, for whatever is made of them later. Raises ToolkitError for fewer than ``min_each`` candidates of either
    outcome, for a judge whose log-odds do not rise with the share that passes, and for a probe's own training rows.
    """
    if folds < 2:
        raise ToolkitError(f"folds is {folds}; cross-validation needs 2 at least")
    place = JudgePlace.of(Path(target), kind)
    rows = [row for row in datasets.read_rows(labelled_jsonl) if row.get("candidates")]
    digest = labels_digest(rows)
    place.refuse_own_rows(digest)
    asked = AskedJudge(place, partial(gavel.Model.open, device=device))
    data = labelled(rows, place.judge, place.kind, asked, progress)
    require_both(data.passed, min_each, labelled_jsonl)
    fitted = calibration.fit(method, data.logits, data.passed)
    if not _rises(fitted):
        raise ToolkitError(
            f"{place.judge}: no more candidates pass where its log-odds are high, so there is nothing to calibrate; "
            "train it, or turn its labels or words round"
        )
    out_of_fold = {
        each: calibration.out_of_fold(each, data.logits, data.passed, data.problem, folds, seed)
        for each in calibration.METHODS
    }
    problems = len(np.unique(data.problem))
    described = {"tasks": data.tasks, "problems": problems, "folds": min(folds, problems), "labels_sha256": digest}
    final = fitted.probabilities(data.logits)
    validation = calibration.validation(method, data.logits, out_of_fold[method], final, data.passed, described)
    said = {"calibration": fitted.manifest(), "validation": validation}
    if weights is not None:
        note(Path(weights), said)
    _write(place, said)
    methods = {each: calibration.figures(values, data.passed) for each, values in out_of_fold.items()}
    return CalibrationFit(place.judge, fitted.manifest(), validation, methods, data, out_of_fold[method])


def _rises(fitted: Calibration) -> bool:
    if fitted.corners:
        return fitted.corners[-1][1] > fitted.corners[0][1]
    return fitted.scale > 0


def _write(place: JudgePlace, said: dict[str, Any]) -> None:
    if place.kind == "probe":
        bundles.add_probe(place.folder, bundles.read_probe(place.folder) | said)
    else:
        bundles.update_judge(place.folder, said)
