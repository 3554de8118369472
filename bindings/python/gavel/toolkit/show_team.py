"""A team file for people: who is in it with what weight, and what it was worth out of fold."""

from __future__ import annotations

import os
from typing import Any

from rich.table import Table

from gavel.toolkit import team_file

HEADINGS = {"pass_at_1": "pass@1", "auroc": "AUROC", "brier": "Brier"}


def facts(team: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, str]:
    generator, stacking, fit = team["generator"], team["stacking"], team.get("fit")
    lines = {"generator": "none: it ranks candidates from elsewhere" if generator is None else _bundle(generator, path)}
    for number, member in enumerate(team["members"], 1):
        name = "judge" if len(team["members"]) == 1 else f"judge {number}"
        lines[name] = f"{member.get('judge', member['kind'])}, weight {member['weight']:.4g}; {_bundle(member, path)}"
    lines["log-probability"] = f"weight {stacking['logprob_weight']:.4g} about {stacking['logprob_mean']:.4g}"
    lines["bias"] = f"{stacking['bias']:.4g}"
    if fit is None:
        return lines | {"fitted on": "not said"}
    if fit["left_out"]:
        lines["left out"] = f"{', '.join(fit['left_out'])}: no weight above 0"
    lines["fitted on"] = (
        f"{fit['candidates']} candidates, {fit['correct']} correct, of {fit['tasks']} tasks of {fit['problems']} "
        f"problems; {fit['without_logprob']} without log-probability"
    )
    lines["method"] = fit["method"]
    lines["figures"] = f"out of fold, {fit['folds']} folds over problems"
    return lines


def table(figures: dict[str, dict[str, float]]) -> Table:
    shown = Table()
    shown.add_column("chosen by")
    for heading in HEADINGS.values():
        shown.add_column(heading, justify="right")
    for name, row in figures.items():
        cells = [f"{row[key]:.3f}" if key in row else "" for key in HEADINGS]
        shown.add_row(name, *cells, style="bold" if name == "team" else None)
    return shown


def _bundle(named: dict[str, Any], path: str | os.PathLike[str]) -> str:
    folder = team_file.folder_of(path, named)
    found = team_file.digest_of(folder)
    state = "which is not there" if found is None else "as fitted" if found == named["digest"] else "which has changed"
    return f"{named['bundle']}, {state}"
