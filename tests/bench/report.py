"""Medians, ratios and the table."""

from __future__ import annotations

from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

RATES = ("prefill", "decoding", "judging")
TIMES = ("load_seconds", "prefill_seconds", "decode_seconds", "write_seconds", "judge_seconds", "team_seconds")
# What Gavel sets out to reach on Qwen2.5-Coder-0.5B with int8 on a CPU.
TARGETS = {"decoding": 3.0, "judging": 1.5, "team": 2.0}


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One row from a configuration's runs: each figure's own median, and its spread."""
    figures = [name for name in (*RATES, *TIMES, "sample_seconds", "peak_bytes") if runs[0].get(name) is not None]
    row = {name: median(run[name] for run in runs) for name in figures}
    row["spread"] = {name: [min(run[name] for run in runs), max(run[name] for run in runs)] for name in RATES}
    return row | {"runs": len(runs), "extra": runs[0]["extra"], "logits": runs[0]["logits"]}


def ratios(gavel: dict[str, Any], peers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Gavel against the best peer, phase by phase: above 1 is faster."""
    found = {}
    for rate in RATES:
        best = max(peers, key=lambda title: peers[title][rate])
        found[rate] = {"ratio": gavel[rate] / peers[best][rate], "best": best}
    best = min(peers, key=lambda title: peers[title]["team_seconds"])
    found["team"] = {"ratio": peers[best]["team_seconds"] / gavel["team_seconds"], "best": best}
    return found


def disagreement(rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How far each engine's verdict logits are from the most precise one's, on average: the same work was done."""
    order = ("transformers, fp32", "transformers, bf16", *rows)
    reference = rows[next(title for title in order if title in rows)]["logits"]
    return {
        title: sum(abs(a - b) for a, b in zip(row["logits"], reference, strict=True)) / len(reference)
        for title, row in rows.items()
    }


def show(console: Console, model: str, result: dict[str, Any]) -> None:
    table = Table(title=f"{model}: tokens a second, seconds, MB", title_justify="left")
    table.add_column("engine")
    for name in ("prefill", "decoding", "judging", "sampling", "load s", "team s", "peak MB", "logit off"):
        table.add_column(name, justify="right")
    for title, row in result["engines"].items():
        sampled = f"{row['sample_seconds'] / row['decode_seconds']:.1%}" if "sample_seconds" in row else "-"
        rates = [f"{row[rate]:,.0f}" for rate in RATES]
        times = [f"{row['load_seconds']:.2f}", f"{row['team_seconds']:.2f}", f"{row['peak_bytes'] / 1e6:,.0f}"]
        off = f"{result['disagreement'][title]:.3f}"
        table.add_row(title, *rates, sampled, *times, off, style="bold" if title.startswith("gavel") else None)
    console.print(table)
    for title, reason in result["failed"].items():
        console.print(f"[yellow]left out: {title}: {escape(reason)}[/yellow]", highlight=False)
    for kind, heading in (("ratios", "against the best peer"), ("ratios_as_packaged", "against packages as they come")):
        if result.get(kind):
            show_ratios(console, heading, result[kind])
    if result.get("gavel"):
        show_gavel(console, result["gavel"])


def show_ratios(console: Console, heading: str, found: dict[str, dict[str, Any]]) -> None:
    console.print(f"Gavel {heading}:", highlight=False)
    for name, each in found.items():
        target = f" (to reach: {TARGETS[name]:g})" if name in TARGETS else ""
        console.print(f"  {name:<9} {each['ratio']:6.2f} times {each['best']}{target}", highlight=False)


def show_gavel(console: Console, own: dict[str, Any]) -> None:
    lines = [
        f"sampling {own['sampling']:.1%} of a decode step (to reach: 5 %)",
        f"peak memory {own['memory']:.2f} times the int8 weights (to reach: 2.2)",
    ]
    if "decode_bandwidth" in own:
        lines += [
            f"decoding reads {own['step_bytes'] / 1e6:,.0f} MB a step of {1e3 * own['step_seconds']:.1f} ms: "
            f"{own['decode_bandwidth']:.0%} of the measured bandwidth, {own['decode_arithmetic']:.0%} of peak int8",
            f"judging reaches {own['judge_arithmetic']:.0%} of peak int8 arithmetic, "
            f"prefill {own['prefill_arithmetic']:.0%}",
        ]
    for line in lines:
        console.print(f"Gavel: {line}", highlight=False)
