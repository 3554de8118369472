"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

import gavel
from gavel.cli.team import title


def facts(console: Console, heading: str, rows: Mapping[str, Any]) -> None:
    """Names and values, one below the other."""
    console.print(Text(heading, style="italic"))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))
    console.print(table)


def candidates(console: Console, heading: str, rows: Sequence[dict[str, Any]], best: int | None) -> None:
    """A task's candidates, best first where they were ranked."""
    ordered = sorted(rows, key=lambda row: (row.get("index") != best, -(row.get("score") or 0.0), row.get("index", 0)))
    verdicts = ordered[0].get("verdicts") or []
    judged = len(verdicts) > 1 or (verdicts and "score" not in ordered[0])
    table = Table(title=heading, title_justify="left")
    table.add_column("#", justify="right")
    if "score" in ordered[0]:
        table.add_column("P(correct)", justify="right")
    for verdict in verdicts if judged else []:
        table.add_column(verdict["kind"] + ("" if verdict["trained"] else "\n(untrained)"), justify="right")
    table.add_column("mean\nlog-prob.", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("finish")
    table.add_column("first line", no_wrap=True, overflow="ellipsis")
    for row in ordered:
        cells = [str(row["index"])]
        if "score" in row:
            cells.append(f"{row['score']:.3f}")
        cells += [f"{verdict['p_correct']:.3f}" for verdict in (row.get("verdicts") or [] if judged else [])]
        mean = row.get("mean_logprob")
        cells += ["" if mean is None else f"{mean:.3f}", str(len(row.get("tokens") or []))]
        finish = row.get("finish", "given").replace("_", " ")
        first = row.get("representative", row["index"])
        cells.append(finish if first == row["index"] else f"{finish}, same as {first}")
        line = next((line.strip() for line in row["code"].splitlines() if line.strip()), "")
        table.add_row(*cells, Text(line), style="bold green" if row["index"] == best else None)
    console.print(table)


def judges(console: Console, infos: Sequence[gavel.JudgeInfo]) -> None:
    for info in infos:
        console.print(Text(f"Judge: {title(info)}"))
        if not info.trained:
            console.print(Text("  It is a model asked as it is, without training: its P(correct) is hardly a guide."))


def task(console: Console, row: dict[str, Any], infos: Sequence[gavel.JudgeInfo]) -> None:
    """One task's candidates, and the code of the best where they were ranked."""
    best = row.get("best")
    candidates(console, f"{len(row['candidates'])} candidates", row["candidates"], best)
    judges(console, infos)
    if best is None:
        return
    console.print(Text(row["run"]["reason"]), "")
    chosen = row["candidates"][best]["code"]
    program = chosen if row["run"]["options"]["prompting"] == "chat" else row["prompt"] + chosen
    lexer = "text" if row["language"] == "any" else row["language"]
    console.print(Syntax(program.rstrip(), lexer, background_color="default"))
