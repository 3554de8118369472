"""Runs one configuration of one engine once, in this process, and writes what was measured as JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from workload import CANDIDATES, CODE, SHARED, Workload

CLASSES = {
    "gavel": ("engine_gavel", "GavelEngine"),
    "llama.cpp": ("engine_llama", "LlamaEngine"),
    "CTranslate2": ("engine_ctranslate2", "CTranslate2Engine"),
    "transformers": ("engine_transformers", "TransformersEngine"),
}
WARM_TOKENS, WARM_CODES = 4, 2


def peak_bytes() -> int:
    """The highest resident memory of this process; unlike getrusage's, not its parent's before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("no VmHWM in /proc/self/status")


def run(engine_name: str, options: dict, model: Path, work: Workload) -> dict:
    module, name = CLASSES[engine_name]
    kind = getattr(import_module(module), name)  # importing is not loading
    start = time.perf_counter()
    engine = kind(model, options)
    loaded = time.perf_counter()
    engine.write(work, WARM_TOKENS)
    engine.judge(work, WARM_CODES)
    begin = time.perf_counter()
    written = engine.write(work, work.tokens)
    middle = time.perf_counter()
    logits = engine.judge(work, CANDIDATES)
    judge_seconds = time.perf_counter() - middle
    later = sum(written.lengths) - CANDIDATES  # the first of each belongs to the prefill's logits
    return asdict(written) | {
        "load_seconds": getattr(engine, "opened", loaded) - start,
        "write_seconds": middle - begin,
        "judge_seconds": judge_seconds,
        "team_seconds": middle - begin + judge_seconds,
        "prefill": len(work.prompt_ids) / written.prefill_seconds,
        "decoding": later / written.decode_seconds,
        "judging": (SHARED + CANDIDATES * CODE) / judge_seconds,
        "logits": logits,
        "peak_bytes": peak_bytes(),
    }


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    result = run(request["engine"], request["options"], Path(request["model"]), Workload.load(Path(request["work"])))
    Path(request["out"]).write_text(json.dumps(result))
