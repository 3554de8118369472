"""llama.cpp through llama-cpp-python's low-level interface: one model, one context for writing, one for judging."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import llama_cpp as lc
from engine import Written, threads
from workload import CANDIDATES, CODE, PEER_TOP_K, SHARED, TEMPERATURE, TOP_P, Workload


@lc.llama_log_callback
def silent(_level: int, _text: bytes, _data: object) -> None:
    """The library reports every tensor; the benchmark needs none of it."""


class Session:
    """A context whose sequences continue one prompt."""

    def __init__(self, model: Any, options: dict[str, Any], length: int) -> None:
        wanted = lc.llama_context_default_params()
        unified = options["unified"]
        wanted.n_ctx = (SHARED + CANDIDATES * length + 256) if unified else CANDIDATES * rounded(SHARED + length)
        wanted.n_seq_max = CANDIDATES
        wanted.n_batch, wanted.n_ubatch = 2048, options["batch"]
        wanted.n_threads = wanted.n_threads_batch = threads()
        wanted.kv_unified = unified
        wanted.flash_attn_type = int(options["flash"])
        self.context = lc.llama_init_from_model(model, wanted)
        if not self.context:
            raise SystemExit(f"llama.cpp refuses a context with {options}")
        self.memory = lc.llama_get_memory(self.context)
        self.batch = lc.llama_batch_init(2048, 0, 1)

    def run(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Decodes (token, position, sequence, wants logits) rows in one call."""
        self.batch.n_tokens = len(rows)
        for i, (token, position, sequence, logits) in enumerate(rows):
            self.batch.token[i], self.batch.pos[i] = token, position
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
            self.batch.logits[i] = logits
        if lc.llama_decode(self.context, self.batch) != 0:
            raise SystemExit(f"llama.cpp could not decode {len(rows)} tokens")

    def read(self, ids: list[int]) -> None:
        """The prompt, once, and its cells for every sequence."""
        lc.llama_memory_clear(self.memory, True)
        self.run([(token, i, 0, i == len(ids) - 1) for i, token in enumerate(ids)])
        for sequence in range(1, CANDIDATES):
            lc.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)


def rounded(length: int) -> int:
    return -(-length // 256) * 256


def sampler(seed: int) -> Any:
    chain = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_top_k(PEER_TOP_K))
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_top_p(TOP_P, 1))
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_temp(TEMPERATURE))
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_dist(seed))
    return chain


class LlamaEngine:
    def __init__(self, file: Path, options: dict[str, Any]) -> None:
        lc.llama_log_set(silent, None)
        lc.llama_backend_init()
        wanted = lc.llama_model_default_params()
        wanted.n_gpu_layers = 0
        wanted.use_extra_bufts = options["extra_buffers"]
        self.model = lc.llama_model_load_from_file(str(file).encode(), wanted)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {file}")
        self.writing = Session(self.model, options["write"], CODE)
        self.judging = Session(self.model, options["judge"], CODE)
        self.samplers = [sampler(seed) for seed in range(CANDIDATES)]
        self.vocabulary = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))

    def write(self, work: Workload, tokens: int) -> Written:
        session, start = self.writing, time.perf_counter()
        session.read(work.prompt_ids)
        prefilled = time.perf_counter()
        last = len(work.prompt_ids) - 1
        # The prompt's last row serves every sequence's first token.
        drawn = [[self.draw(i, -1)] for i in range(CANDIDATES)]
        begin = time.perf_counter()
        sampling = 0.0
        for step in range(1, tokens):
            session.run([(drawn[i][-1], last + step, i, True) for i in range(CANDIDATES)])
            now = time.perf_counter()
            for i in range(CANDIDATES):
                drawn[i].append(self.draw(i, i))
            sampling += time.perf_counter() - now
        end = time.perf_counter()
        return Written(prefilled - start, end - begin, [len(each) for each in drawn], sampling)

    def draw(self, sequence: int, row: int) -> int:
        return lc.llama_sampler_sample(self.samplers[sequence], self.writing.context, row)

    def judge(self, work: Workload, count: int) -> list[float]:
        session, logits = self.judging, []
        session.read(work.shared_ids)
        correct, wrong = work.verdict
        size = 2048 // CODE
        for first in range(0, count, size):
            part = range(first, min(count, first + size))
            session.run(
                [
                    (token, SHARED + k, sequence, k == CODE - 1)
                    for sequence in part
                    for k, token in enumerate(work.code_ids[sequence])
                ]
            )
            for i in range(len(part)):
                row = lc.llama_get_logits_ith(session.context, (i + 1) * CODE - 1)
                logits.append(row[correct] - row[wrong])
        return logits
