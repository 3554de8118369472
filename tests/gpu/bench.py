"""Gavel and transformers on one GPU: the same shapes, weights and number of tokens. bench.py FOLDER [--json FILE]

A 256-token prompt, ten candidates of 128 tokens, and ten candidates of 128 tokens judged after a 300-token prompt.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import gavel

PROMPT, CANDIDATES, TOKENS, JUDGED_PROMPT = 256, 10, 128, 300
ROUNDS = 5


def median_seconds(work: Callable[[], Any]) -> float:
    """Of ROUNDS runs after two warm-up runs; the GPU is waited for."""
    taken = []
    for _ in range(2 + ROUNDS):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return sorted(taken[2:])[ROUNDS // 2]


def text_of(model: gavel.Model, tokens: int) -> str:
    """A text of exactly that many tokens."""
    words = "value = value + other\n" * tokens
    ids = model.tokenizer.encode(words)[:tokens]
    return model.tokenizer.decode(ids)


def bench_gavel(bundle: Path) -> dict[str, float]:
    begun = time.perf_counter()
    model = gavel.Model.open(bundle, device="cuda")
    opened = time.perf_counter() - begun
    generator, judge = gavel.Generator(model), gavel.Judge(model, "verbalizer")
    task, judged = gavel.Task(text_of(model, PROMPT)), gavel.Task(text_of(model, JUDGED_PROMPT))
    codes = [text_of(model, TOKENS - i % 2) for i in range(CANDIDATES)]
    last: list[gavel.GenerateStats] = []

    def write() -> None:
        made = generator.generate(task, candidates=CANDIDATES, max_tokens=TOKENS, language_stops=False, probe=False)
        last[:] = [made.stats]

    whole = median_seconds(write)
    stats = last[0]
    return {
        "open seconds": opened,
        "write seconds": whole,
        "prefill tokens/s": stats.prompt_tokens / stats.prefill_seconds,
        "decode tokens/s": stats.sampled_tokens / stats.decode_seconds,
        "sampling share of decoding": stats.sample_seconds / stats.decode_seconds,
        "judge seconds": median_seconds(lambda: judge.judge(judged, codes)),
    }


@torch.inference_mode()
def bench_transformers(checkpoint: Path) -> dict[str, float]:
    from transformers import AutoModelForCausalLM

    begun = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16).cuda().eval()
    opened = time.perf_counter() - begun
    vocabulary = model.config.vocab_size
    prompt = torch.arange(PROMPT, device="cuda")[None] % vocabulary
    judged = torch.arange(JUDGED_PROMPT + TOKENS, device="cuda")[None].expand(CANDIDATES, -1) % vocabulary
    mask = torch.ones_like(prompt)

    def write() -> None:
        model.generate(
            prompt, attention_mask=mask, do_sample=True, temperature=0.8, top_p=0.95, num_return_sequences=CANDIDATES,
            max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0,
        )  # fmt: skip

    whole = median_seconds(write)
    prefill = median_seconds(lambda: model(prompt, logits_to_keep=1))
    return {
        "open seconds": opened,
        "write seconds": whole,
        "prefill tokens/s": PROMPT / prefill,
        "decode tokens/s": CANDIDATES * TOKENS / (whole - prefill),
        "judge seconds": median_seconds(lambda: model(judged, logits_to_keep=1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "models": {}}
    for bundle in sorted(options.folder.glob("*-bf16.gavel")):
        name = bundle.stem.removesuffix("-bf16")
        ours, theirs = bench_gavel(bundle), bench_transformers(options.folder / name)
        results["models"][name] = {"gavel bf16": ours, "transformers bf16": theirs}
        print(f"{name}, bf16, {results['gpu']}")
        for key, value in ours.items():
            other = f"{theirs[key]:>12.4g}" if key in theirs else ""
            print(f"  {key:<28} {value:>12.4g} {other}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
