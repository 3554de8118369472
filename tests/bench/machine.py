"""The machine's class and its measured limits, and what a model's step takes of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine import threads
from workload import CANDIDATES, CODE, PROMPT, SHARED

HERE = Path(__file__).resolve().parent
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")


def describe() -> dict[str, Any]:
    """What decides speed; nothing that names the machine."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    info = {key.strip(): value.strip() for key, _, value in lines}
    have = info.get("flags", info.get("Features", "")).split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": info.get("model name", platform.machine()),
        "threads": threads(),
        "flags": [flag for flag in FLAGS if flag in have],
        "memory_gib": round(memory / 2**30),
        "system": f"Linux, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
    }


def limits(folder: Path, weight_bytes: int) -> dict[str, Any] | None:
    """Bytes read and int8 multiply-accumulates a second, on all cores; None where there is no compiler. Reading is
    measured on more than any cache holds and on as much as the weights: caches may hold part of those."""
    program = folder / "machine"
    command = ["g++", "-std=c++20", "-O3", "-pthread", str(HERE / "machine.cpp"), "-o", str(program)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        sizes = [str(size) for size in sorted({2_000_000_000, weight_bytes})]
        out = subprocess.run([str(program), str(threads()), *sizes], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the machine's limits could not be measured: {error}", file=sys.stderr)
        return None
    found = json.loads(out)
    return {
        "read_bytes": found["read_bytes"],
        "int8_macs": found["int8_macs"],
        "bandwidth": max(found["read_bytes"].values()),
        "peak": max(found["int8_macs"].values()),
    }


def shares(measured: dict[str, Any], shape: dict[str, Any], tokens: int, limit: dict[str, Any]) -> dict[str, float]:
    """What Gavel reaches of the limits. A decode step reads the weights, the shared prefix and, on average, half of the
    candidates' own caches; both count int8 products alone, attention is left out."""
    extra = measured["extra"]
    cache = extra["prefix_bytes"] + extra["own_bytes"] / 2
    step = measured["decode_seconds"] / max(1, tokens - 1)
    layers, head = int8_macs(shape)
    judged = SHARED + CANDIDATES * CODE
    return {
        "step_seconds": step,
        "step_bytes": extra["weight_bytes"] + cache,
        "decode_bandwidth": (extra["weight_bytes"] + cache) / step / limit["bandwidth"],
        "decode_arithmetic": CANDIDATES * (layers + head) / step / limit["peak"],
        "prefill_arithmetic": PROMPT * layers / measured["prefill_seconds"] / limit["peak"],
        "judge_arithmetic": judged * layers / measured["judge_seconds"] / limit["peak"],
    }


def int8_macs(shape: dict[str, Any]) -> tuple[int, int]:
    """Multiply-accumulates of one token in all layers' matrices, and in the head."""
    hidden, width = shape["hidden"], shape["heads"] * shape["head_dim"]
    keys = shape["kv_heads"] * shape["head_dim"]
    attention = hidden * (width + 2 * keys) + width * hidden
    return shape["layers"] * (attention + 3 * hidden * shape["intermediate"]), hidden * shape["vocabulary"]
