"""Gavel through its Python package, as a user would call it: texts in, tokens and verdicts out, all of it timed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from engine import Written
from workload import CANDIDATES, TEMPERATURE, TOP_P, Workload

import gavel


class GavelEngine:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.model = gavel.Model.open(folder, device="cpu")
        self.opened = time.perf_counter()
        self.generator = gavel.Generator(self.model)
        self.judging = gavel.Judge(self.model, kind="verbalizer")

    def write(self, work: Workload, tokens: int) -> Written:
        start = time.perf_counter()
        result = self.generator.generate(
            gavel.Task(prompt=work.prompt),
            candidates=CANDIDATES,
            max_tokens=tokens,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            language_stops=False,
            seed=1,
        )
        seconds = time.perf_counter() - start
        if result.prompt_tokens != work.prompt_ids:
            raise SystemExit(f"gavel read {len(result.prompt_tokens)} other tokens than its peers were given")
        stats = result.stats
        estimate = self.model.estimate(len(work.prompt_ids), CANDIDATES, tokens)
        return Written(
            stats.prefill_seconds,
            seconds - stats.prefill_seconds,
            [len(candidate.tokens) for candidate in result],
            stats.sample_seconds,
            {
                "steps": stats.steps,
                "weight_bytes": estimate.weights,
                "prefix_bytes": estimate.prefix,
                "own_bytes": estimate.own,
            },
        )

    def judge(self, work: Workload, count: int) -> list[float]:
        verdicts = self.judging.judge(gavel.Task(prompt=work.shared), work.codes[:count])
        return [verdict.logit or 0.0 for verdict in verdicts]
