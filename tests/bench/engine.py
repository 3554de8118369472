"""What the benchmark asks of an engine, and the engines it knows, each with the configurations worth trying."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from workload import Workload


def threads() -> int:
    return len(os.sched_getaffinity(0))


@dataclass
class Written:
    """Times of one generation. Decoding starts when every candidate has its first token."""

    prefill_seconds: float
    decode_seconds: float
    lengths: list[int]
    sample_seconds: float | None = None
    extra: dict[str, float] = field(default_factory=dict)


class Engine(Protocol):
    def write(self, work: Workload, tokens: int) -> Written:
        """`tokens` tokens for each of the workload's candidates, without an early end."""
        ...

    def judge(self, work: Workload, count: int) -> list[float]:
        """The verdict's logit, row `correct` minus row `wrong`, of each of the first `count` codes."""
        ...


@dataclass(frozen=True)
class Setup:
    """One configuration of one engine, run in a process of its own."""

    engine: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    as_packaged: bool = True
    """The engine as its package comes; False where it had to be repaired first."""

    @property
    def title(self) -> str:
        return f"{self.engine}, {self.name}" if self.name else self.engine


UNIFIED, STREAMS = {"unified": True, "batch": 512}, {"unified": False, "batch": 2048}


def llama_setups(repaired: Path | None) -> list[Setup]:
    """Attention without the flash kernel is faster for one token a sequence, with it for many. One unified cache
    shares the prompt's cells; a stream for each sequence copies them and attends to no other's."""
    writing, judging = UNIFIED | {"flash": False}, STREAMS | {"flash": True}
    apart = {"extra_buffers": True, "write": writing, "judge": judging}
    shared = {"extra_buffers": True, "write": writing, "judge": UNIFIED | {"flash": True}}
    plain = {"extra_buffers": False, "write": writing, "judge": UNIFIED | {"flash": True}}
    setups = [
        Setup("llama.cpp", "Q8_0", apart),
        Setup("llama.cpp", "Q8_0, one cache", shared),
        Setup("llama.cpp", "Q8_0, no repacking", plain),
    ]
    if repaired:
        path = {"PYTHONPATH": str(repaired)}
        setups += [
            Setup("llama.cpp", "Q8_0, AMX repaired", apart, path, as_packaged=False),
            Setup("llama.cpp", "Q8_0, AMX repaired, one cache", shared, path, as_packaged=False),
        ]
    return setups


def ctranslate2_setups() -> list[Setup]:
    packed = {"CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1"}
    return [
        Setup("CTranslate2", "int8"),
        Setup("CTranslate2", "int8, packed", environment=packed),
        Setup("CTranslate2", "int8, oneDNN", environment={"CT2_USE_MKL": "0"}),
    ]


def transformers_setups() -> list[Setup]:
    return [
        Setup("transformers", "bf16", {"precision": "bfloat16"}),
        Setup("transformers", "int8 (x86)", {"precision": "int8", "quantized": "x86"}),
        Setup("transformers", "int8 (oneDNN)", {"precision": "int8", "quantized": "onednn"}),
        Setup("transformers", "fp32", {"precision": "float32"}),
    ]


ENGINES = ("gavel", "llama.cpp", "CTranslate2", "transformers")


def setups(engine: str, repaired: Path | None) -> list[Setup]:
    match engine:
        case "gavel":
            return [Setup("gavel", "int8")]
        case "llama.cpp":
            return llama_setups(repaired)
        case "CTranslate2":
            return ctranslate2_setups()
        case "transformers":
            return transformers_setups()
    raise ValueError(f"no engine is called {engine!r}; known are {', '.join(ENGINES)}")
