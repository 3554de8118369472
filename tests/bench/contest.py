"""One model on all engines: each configuration tried, the fastest measured, all compared."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine import Setup, setups
from machine import limits, shares
from prepare import Prepared, prepare, repaired_llama
from report import disagreement, medians, ratios
from runner import Runner
from tokenizers import Tokenizer
from workload import TOKENS, make

PROBE_TOKENS = 16
OWN = "gavel, int8"

Row = dict[str, Any]


def contest(name: str, engines: list[str], options: argparse.Namespace, folder: Path) -> Row:
    """Everything that is said of one model."""
    models = folder / "models"
    model = prepare(name, models, options.bundle)
    tokenizer = Tokenizer.from_file(str(model.tokenizer()))
    runner = Runner(model, folder, make(lambda text: tokenizer.encode(text, add_special_tokens=False).ids))
    repaired = repaired_llama(models) if "llama.cpp" in engines else None
    known = {setup.title: setup for engine in engines for setup in setups(engine, repaired)}

    print(f"{model.name}: trying each configuration", file=sys.stderr)
    short = {title: runner.run(setup, PROBE_TOKENS) for title, setup in known.items()}
    tried = {title: found for title, found in short.items() if found}
    if not tried:
        raise SystemExit(f"no engine works on {model.name}: {runner.failed}")
    if options.quick:
        rows = {title: medians([found]) for title, found in tried.items()}
    else:
        chosen = list(tried) if options.all else fastest(tried, known)
        rows = measured(runner, [known[title] for title in chosen], options.repeat)
    result = {
        "tokens": PROBE_TOKENS if options.quick else TOKENS,
        "setups": {title: asdict(known[title]) for title in rows},
        "tried": {
            title: {rate: found[rate] for rate in ("prefill", "decoding", "judging")} for title, found in tried.items()
        },
        "failed": runner.failed,
        "engines": rows,
        "disagreement": disagreement(rows),
    }
    if OWN in rows:
        result |= compared(rows, known) | {"gavel": own_figures(rows[OWN])}
        if found := limits(folder, int(rows[OWN]["extra"]["weight_bytes"])):
            result["limits"] = found
            result["gavel"] |= shares(rows[OWN], shape_of(model), result["tokens"], found)
    return result


def fastest(tried: dict[str, Row], known: dict[str, Setup]) -> list[str]:
    """Of each engine, its best configuration in decoding and in judging: of all, and of those that come as packaged."""
    chosen = []
    for engine in {known[title].engine: None for title in tried}:
        own = [title for title in tried if known[title].engine == engine]
        for pool in (own, [title for title in own if known[title].as_packaged]):
            chosen += [max(pool, key=lambda title: tried[title][rate]) for rate in ("decoding", "judging") if pool]
    return list(dict.fromkeys(chosen))


def measured(runner: Runner, chosen: list[Setup], repeat: int) -> dict[str, Row]:
    """Medians of `repeat` runs of each; in turns, so that a slow minute of the machine meets all of them."""
    runs: dict[str, list[Row]] = {}
    for turn in range(repeat):
        print(f"{runner.model.name}: run {turn + 1} of {repeat}", file=sys.stderr)
        for setup in chosen:
            if found := runner.run(setup, TOKENS):
                runs.setdefault(setup.title, []).append(found)
    return {title: medians(each) for title, each in runs.items()}


def compared(rows: dict[str, Row], known: dict[str, Setup]) -> Row:
    peers = {title: row for title, row in rows.items() if title != OWN}
    packaged = {title: row for title, row in peers.items() if known[title].as_packaged}
    found = {"ratios": ratios(rows[OWN], peers)} if peers else {}
    if packaged and len(packaged) < len(peers):
        found["ratios_as_packaged"] = ratios(rows[OWN], packaged)
    return found


def own_figures(own: Row) -> Row:
    return {
        "sampling": own["sample_seconds"] / own["decode_seconds"],
        "memory": own["peak_bytes"] / own["extra"]["weight_bytes"],
    }


def shape_of(model: Prepared) -> Row:
    return json.loads((model.of("gavel") / "gavel.json").read_text())["architecture"]
