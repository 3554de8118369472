"""CTranslate2 through Generator.generate_batch: it reads a prompt once and multiplies its state for the hypotheses."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from engine import Written, threads
from workload import CANDIDATES, PEER_TOP_K, TEMPERATURE, TOP_P, Workload


class CTranslate2Engine:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.generator = ctranslate2.Generator(
            str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads()
        )
        self.words = json.loads((folder / "vocabulary.json").read_text())

    def text(self, ids: list[int]) -> list[str]:
        return [self.words[i] for i in ids]

    def write(self, work: Workload, tokens: int) -> Written:
        seen: list[float] = []

        def on_token(_step: Any) -> bool:
            seen.append(time.perf_counter())
            return False

        prompt = self.text(work.prompt_ids)
        start = time.perf_counter()
        result = self.generator.generate_batch(
            [prompt],
            num_hypotheses=CANDIDATES,
            sampling_topk=PEER_TOP_K,
            sampling_topp=TOP_P,
            sampling_temperature=TEMPERATURE,
            max_length=tokens,
            min_length=tokens,
            end_token=[],
            include_prompt_in_result=False,
            callback=on_token,
        )
        end = time.perf_counter()
        first = seen[CANDIDATES - 1]  # every hypothesis has its first token
        return Written(first - start, end - first, [len(ids) for ids in result[0].sequences_ids])

    def judge(self, work: Workload, count: int) -> list[float]:
        """forward_batch and score_batch make logits of every position, gigabytes of them; this makes one row a code.
        The static prompt's state is not kept between calls: each task brings its own."""
        result = self.generator.generate_batch(
            [self.text(ids) for ids in work.code_ids[:count]],
            static_prompt=self.text(work.shared_ids),
            cache_static_prompt=False,
            max_length=1,
            include_prompt_in_result=False,
            end_token=[],
            return_logits_vocab=True,
        )
        correct, wrong = work.verdict
        rows = [np.array(each.logits[0][0]) for each in result]
        return [float(row[correct] - row[wrong]) for row in rows]
