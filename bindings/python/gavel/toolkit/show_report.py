"""A report for people: a table for each group of tasks, and one picture."""

from __future__ import annotations

import os
from textwrap import fill
from typing import Any

from rich.table import Table

from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.pictures import COLOURS, png


def tables(result: dict[str, Any]) -> list[Table]:
    return [_table(name, group) for name, group in result["groups"].items()]


def _table(name: str, group: dict[str, Any]) -> Table:
    title = f"{name}: {group['tasks']} tasks, {group['candidates']} candidates"
    at_k = ", ".join(f"@{k} {value:.3f}" for k, value in group["pass_at_k"].items())
    caption = f"{group['base_rate']:.1%} pass, {group['compile_rate']:.1%} compile; pass {at_k}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("chosen by")
    for heading in ("pass@1", "95 %", "over random", "95 %", "AUROC", "95 %", "of those that compile"):
        table.add_column(heading, justify="right")
    for way in group["ways"]:
        compiled = way["auroc_compiled"]
        table.add_row(
            way["name"],
            *_cells(way["pass_at_1"]),
            *(_cells(way["over_random"], "+.3f") if way["name"] != "random" else ("", "")),
            *_cells(way["auroc"]),
            f"{compiled['value']:.3f}" if compiled else "",
        )
    return table


def _cells(estimate: dict[str, float] | None, form: str = ".3f") -> tuple[str, str]:
    if estimate is None:
        return "", ""
    return f"{estimate['value']:{form}}", f"{estimate['low']:{form}} to {estimate['high']:{form}}"


def plot(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Bars of pass@1 with their intervals, one panel for each group of tasks, as PNG."""
    from matplotlib.figure import Figure

    groups = result["groups"]
    ways = len(groups["all"]["ways"])
    figure = Figure(figsize=(4 + 4 * len(groups), 1.5 + 0.5 * ways), layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for panel, (name, group) in zip(panels, groups.items(), strict=True):
        estimates = {fill(way["name"], 40): way["pass_at_1"] for way in group["ways"]}
        values = [one["value"] for one in estimates.values()]
        errors = [
            [one["value"] - one["low"] for one in estimates.values()],
            [one["high"] - one["value"] for one in estimates.values()],
        ]
        colours = [COLOURS[0] if way.startswith("probe") else COLOURS[-1] for way in estimates]
        panel.barh(list(estimates), values, xerr=errors, color=colours, ecolor="#333333", capsize=3)
        panel.set(title=f"{name} ({group['tasks']} tasks)", xlabel="pass@1", xlim=(0, 1))
    panels[0].invert_yaxis()
    write_atomically(path, png(figure))
