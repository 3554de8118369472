"""The stage that fits a team: weights for its judges' log-odds and for the log-probability, on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit import datasets, formats
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.fit_team import fit_team
from gavel.toolkit.judge_place import JudgePlace
from gavel.toolkit.study.candidates import ROWS
from gavel.toolkit.study.judges import kind_at
from gavel.toolkit.study.stages import Work
from gavel.toolkit.study.study_file import Calibrating

FITTED = "weights.json"


def fit(name: str, kinds: Mapping[str, str], how: Calibrating, seed: int, device: str, work: Work) -> None:
    """NAME.team.json, as `gavel team fit` writes it, and `FITTED`: each judge's weight by the study's name for it, and
    the log-probability's; where the rows do not allow a fit, why. ``kinds`` has the judges."""
    places = {judge: _place(work.inputs[judge], kind) for judge, kind in kinds.items()}
    rows = work.folder / ROWS
    verdicts = [datasets.read_rows(work.inputs[verdicts_of(judge)]) for judge in kinds]
    formats.write(rows, _joined(verdicts))
    try:
        made = fit_team(
            rows,
            work.folder / f"{name}.team.json",
            list(places.values()),
            partial(gavel.Model.open, device=device),
            generator=work.inputs["generator"],
            folds=how.folds,
            seed=seed,
            min_each=how.min_each,
        )
    except ToolkitError as error:
        work.notes.append(f"not fitted: {error}")
        said: dict[str, Any] = {"not_fitted": str(error)}
    else:
        weights = {member["judge"]: member["weight"] for member in made.team["members"]}
        said = {
            "weights": {judge: weights.get(place.judge, 0.0) for judge, place in places.items()},
            "log_likelihood": made.team["stacking"]["logprob_weight"],
            "fit": made.team["fit"],
        }
    datasets.write_atomically(work.folder / FITTED, bundles.to_json(said))
    rows.unlink()


def verdicts_of(judge: str) -> str:
    """Name of the input that has a judge's verdicts on the validation rows."""
    return f"{judge}, validation"


def _place(judge: Path, kind: str) -> JudgePlace:
    return JudgePlace.of(judge, None if kind == "automatic" else kind_at(judge, kind))


def _joined(judged: Sequence[list[datasets.Row]]) -> list[datasets.Row]:
    """The rows with all verdicts; without those that some judge could not do."""
    joined = []
    for same in zip(*judged, strict=True):
        if not any("failed" in row for row in same):
            candidates = [
                each[0] | {"verdicts": [verdict for one in each for verdict in one.get("verdicts") or []]}
                for each in zip(*(row["candidates"] for row in same), strict=True)
            ]
            joined.append(same[0] | {"candidates": candidates})
    return joined
