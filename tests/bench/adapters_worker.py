"""Opens judges, runs them once in this process, and prints what was measured as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from worker import WARM_CODES, WARM_TOKENS, peak_bytes
from workload import CANDIDATES, CODE, SHARED, TEMPERATURE, TOP_P, Workload

import gavel


def run(bundle: str, adapters: list[str], shared: bool, work: Workload) -> dict[str, Any]:
    start = time.perf_counter()
    bases = [gavel.Model.open(bundle)] if shared else [gavel.Model.open(bundle) for _ in adapters]
    models = [bases[i % len(bases)].adapted(name) if name else bases[i % len(bases)] for i, name in enumerate(adapters)]
    judges = [gavel.Judge(model, "verbalizer") for model in models]
    loaded = time.perf_counter()
    task = gavel.Task(prompt=work.shared)
    for judge in judges:
        judge.judge(task, work.codes[:WARM_CODES])
    begin = time.perf_counter()
    for judge in judges:
        judge.judge(task, work.codes)
    judge_seconds = time.perf_counter() - begin
    decode = decoding(gavel.Generator(models[0]), work)
    return {
        "load_seconds": loaded - start,
        "judge_seconds": judge_seconds,
        "judging": len(judges) * (SHARED + CANDIDATES * CODE) / judge_seconds,
        "decoding": decode,
        "peak_bytes": peak_bytes(),
    }


def decoding(generator: gavel.Generator, work: Workload) -> float:
    """Tokens a second once every candidate has its first."""
    for tokens in (WARM_TOKENS, work.tokens):
        made = generator.generate(
            gavel.Task(prompt=work.prompt),
            candidates=CANDIDATES,
            max_tokens=tokens,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            language_stops=False,
            probe=False,
            seed=1,
        )
    return (sum(len(candidate.tokens) for candidate in made) - CANDIDATES) / made.stats.decode_seconds


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    work = Workload.load(Path(request.pop("work")))
    print(json.dumps(run(**request, work=work)))
