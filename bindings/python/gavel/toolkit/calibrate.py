"""Calibrates a judge of a bundle on labelled candidates, and stores with it what its thresholds are worth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit import calibration, datasets
from gavel.toolkit.calibration import Calibration, Doubles, Method
from gavel.toolkit.datasets import Progress, Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.judging import note
from gavel.toolkit.labelled import Labelled, candidates_of, labelled, labels_digest, task_of


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
    place = _Place.of(Path(target), kind)
    rows = [row for row in datasets.read_rows(labelled_jsonl) if row.get("candidates")]
    digest = labels_digest(rows)
    if digest == place.trained_on:
        raise ToolkitError(
            f"{place.judge} was fitted on these very rows, where its log-odds flatter it, and is calibrated on "
            "out-of-fold ones already; use rows that it has not seen"
        )
    data = labelled(rows, place.judge, place.kind, _Asked(place, device), progress)
    _enough(data.passed, min_each, labelled_jsonl)
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
    place.write(said)
    methods = {each: calibration.figures(values, data.passed) for each, values in out_of_fold.items()}
    return CalibrationFit(place.judge, fitted.manifest(), validation, methods, data, out_of_fold[method])


def _enough(passed: calibration.Bools, least: int, where: str | os.PathLike[str]) -> None:
    right = int(passed.sum())
    wrong = len(passed) - right
    if min(right, wrong) < max(1, least):
        raise ToolkitError(
            f"{os.fspath(where)}: {right} candidates pass and {wrong} fail, a calibration needs {max(1, least)} of "
            "either at least; label candidates of more tasks"
        )


def _rises(fitted: Calibration) -> bool:
    if fitted.corners:
        return fitted.corners[-1][1] > fitted.corners[0][1]
    return fitted.scale > 0


@dataclass(frozen=True)
class _Place:
    """Where a judge is, and where its calibration goes."""

    folder: Path
    kind: str
    judge: str  # as verdicts name it
    trained_on: str | None  # digest of a probe's labels

    @classmethod
    def of(cls, folder: Path, kind: str | None) -> _Place:
        base = bundles.base_of(folder)
        if base is None:
            manifest = bundles.read_manifest(folder)
            name = manifest["name"]
        else:
            manifest = bundles.read_adapter(folder)
            name = f"{bundles.read_manifest(base)['name']}+{manifest['name']}"
        kinds = ["probe"] if manifest.get("probe") else []
        kinds += [manifest["judge"]["type"]] if manifest.get("judge") else []
        if not kinds or (kind is not None and kind not in kinds):
            has = ", ".join(kinds) or "none; fit one with `gavel fit-probe`"
            raise ToolkitError(f"{folder} has no {kind or 'judge'}; its judges are: {has}")
        kind = kind or kinds[0]
        trained_on = bundles.read_probe(folder).get("labels_sha256") if kind == "probe" else None
        return cls(folder, kind, f"{name}:{kind}", trained_on)

    def write(self, said: dict[str, Any]) -> None:
        if self.kind == "probe":
            bundles.add_probe(self.folder, bundles.read_probe(self.folder) | said)
        else:
            bundles.update_judge(self.folder, said)


class _Asked:
    """The judge itself, opened at the first candidate that no row has its verdict of."""

    def __init__(self, place: _Place, device: str) -> None:
        self._place, self._device = place, device
        self._judge: Any = None

    def __call__(self, row: Row, positions: list[int]) -> list[float]:
        if self._judge is None:
            base = bundles.base_of(self._place.folder)
            model = gavel.Model.open(base or self._place.folder, device=self._device)
            model = model if base is None else model.adapted(self._place.folder.resolve())
            self._judge = gavel.Judge(model, self._place.kind)  # type: ignore[arg-type]
        return [verdict.logit for verdict in self._judge.judge(task_of(row), candidates_of(row, positions))]
