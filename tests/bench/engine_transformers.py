"""transformers with a loop of its own: generate() would read the prompt once for each candidate."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import torch
from engine import Written, threads
from transformers import AutoModelForCausalLM
from transformers.utils import logging
from workload import CANDIDATES, PEER_TOP_K, TEMPERATURE, TOP_P, Workload


class TransformersEngine:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        logging.disable_progress_bar()
        torch.set_num_threads(threads())
        precision = options["precision"]
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
        if precision == "int8":
            torch.backends.quantized.engine = options["quantized"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        self.model = model

    @torch.inference_mode()
    def read(self, ids: list[int], copies: int) -> tuple[torch.Tensor, Any]:
        """The prompt, once; its last logits, and its cache for `copies` sequences."""
        out = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        out.past_key_values.batch_repeat_interleave(copies)
        return out.logits[:, -1].repeat(copies, 1), out.past_key_values

    @torch.inference_mode()
    def write(self, work: Workload, tokens: int) -> Written:
        start = time.perf_counter()
        logits, cache = self.read(work.prompt_ids, CANDIDATES)
        prefilled = time.perf_counter()
        drawn = [draw(logits)]
        begin = time.perf_counter()
        sampling = 0.0
        for _ in range(1, tokens):
            logits = self.model(drawn[-1], past_key_values=cache, use_cache=True).logits[:, -1]
            now = time.perf_counter()
            drawn.append(draw(logits))
            sampling += time.perf_counter() - now
        end = time.perf_counter()
        return Written(prefilled - start, end - begin, [len(drawn)] * CANDIDATES, sampling)

    @torch.inference_mode()
    def judge(self, work: Workload, count: int) -> list[float]:
        _, cache = self.read(work.shared_ids, count)
        codes = torch.tensor(work.code_ids[:count])
        logits = self.model(codes, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1].float()
        correct, wrong = work.verdict
        return (logits[:, correct] - logits[:, wrong]).tolist()


def draw(logits: torch.Tensor) -> torch.Tensor:
    values, tokens = logits.float().topk(PEER_TOP_K)
    chances = (values / TEMPERATURE).softmax(-1)
    chances = chances.masked_fill(chances.cumsum(-1) - chances > TOP_P, 0.0)
    return tokens.gather(1, torch.multinomial(chances, 1))
