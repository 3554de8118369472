"""tests/bench/large: export, loading and a team's run of a checkpoint of more than three billion parameters."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/bench"
TOKENIZER = ROOT / "build/models/smollm2-135m-instruct-int8.gavel/tokenizer.json"
SHARD = 1 << 30  # bytes
DESCRIPTION = """\
Makes a checkpoint of the shape of Llama 3.2 3B with random bf16 weights in shards, exports it in each precision, opens
the bundle and lets one team (ten candidates of 16 tokens, the model itself as judge) solve a task. Each step runs in a
process of its own, and its time and peak memory are measured. Needs 17 GB of disk; the files are removed afterwards.
"""
SHAPE: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}


def memory(field: str) -> int:
    """Bytes: VmRSS now, or VmHWM, its peak since the last `reset`; mapped files count as far as they were read."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def measured(out: dict[str, float]) -> Iterator[None]:
    """Seconds, memory before, and the peak, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    out["before_bytes"], begin = memory("VmRSS"), time.perf_counter()
    yield
    out["seconds"], out["peak_bytes"] = time.perf_counter() - begin, memory("VmHWM")


def make(folder: Path, layers: int) -> dict[str, Any]:
    """The checkpoint, shard by shard."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**SHAPE | {"num_hidden_layers": layers}, architectures=["LlamaForCausalLM"])
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    shutil.copy(TOKENIZER, folder)
    with torch.device("meta"):
        state = LlamaForCausalLM(config).state_dict()
    state.pop("lm_head.weight")
    places: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    random = torch.Generator().manual_seed(0)

    def write() -> None:
        name = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        shard.clear()

    largest = parameters = 0
    for name, meta in state.items():
        norm = name.endswith("norm.weight")
        tensor = torch.ones(meta.shape) if norm else torch.randn(meta.shape, generator=random).mul_(0.02)
        shard[name] = tensor.to(torch.bfloat16)
        largest, parameters = max(largest, shard[name].nbytes), parameters + tensor.numel()
        if sum(each.nbytes for each in shard.values()) >= SHARD:
            write()
    write()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return {"parameters": parameters, "largest_tensor_bytes": largest, "shards": len(set(places.values()))}


def export(checkpoint: Path, bundle: Path, precision: str) -> dict[str, Any]:
    from gavel.toolkit.export import export as make_bundle
    from gavel.toolkit.selftest import self_test  # noqa: F401  (imported before memory is measured)

    found: dict[str, Any] = {}
    with measured(found):
        make_bundle(checkpoint, bundle, precision=precision)
    found["bundle_bytes"] = sum(file.stat().st_size for file in bundle.iterdir())
    return found


def team(bundle: Path) -> dict[str, Any]:
    import gavel

    found: dict[str, Any] = {"open": {}, "self_test": {}, "solve": {}}
    with measured(found["open"]):
        model = gavel.Model.open(bundle)
    with measured(found["solve"]):
        ranker = gavel.Ranker(gavel.Generator(model), judges=[gavel.Judge(model)])
        task = gavel.Task(prompt="def add(a, b):\n    return", language="python")
        ranking = ranker.solve(task, candidates=10, max_tokens=16, seed=1, language_stops=False)
    found["solve"]["candidates"] = len(ranking.ranked)
    found["solve"]["decode_tokens_per_second"] = ranking.stats.sampled_tokens / ranking.stats.decode_seconds
    with measured(found["self_test"]):
        model.self_test()
    return found


def step(*arguments: str) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"step {' '.join(arguments)} failed with exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def run_step(name: str, arguments: list[str]) -> None:
    steps = {
        "make": lambda: make(Path(arguments[0]), int(arguments[1])),
        "export": lambda: export(Path(arguments[0]), Path(arguments[1]), arguments[2]),
        "team": lambda: team(Path(arguments[0])),
    }
    print(json.dumps(steps[name]()))


def show(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    gib = 2**30
    made = record["checkpoint"]
    table = Table(
        title=f"{made['parameters'] / 1e9:.2f} billion parameters in {made['shards']} shards; largest tensor "
        f"{made['largest_tensor_bytes'] / gib:.2f} GiB"
    )
    for column in ("precision", "step", "seconds", "before, GiB", "peak, GiB", ""):
        table.add_column(column, justify="left" if column in ("precision", "step", "") else "right")
    for precision, result in record["precisions"].items():
        rows = [
            ("export", result["export"]),
            *((name, result["team"][name]) for name in ("open", "solve", "self_test")),
        ]
        for name, found in rows:
            note = f"{found['decode_tokens_per_second']:.1f} tokens/s" if name == "solve" else ""
            if name == "export":
                note = f"bundle {found['bundle_bytes'] / gib:.2f} GiB"
            figures = (found["seconds"], found["before_bytes"] / gib, found["peak_bytes"] / gib)
            table.add_row(precision, name, *(f"{figure:.2f}" for figure in figures), note)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        return run_step(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(
        "tests/bench/large", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", action="append", choices=("int8", "bf16", "fp32"), help="[int8 and bf16]")
    parser.add_argument("--layers", type=int, default=SHAPE["num_hidden_layers"], help="fewer: a smaller model [28]")
    parser.add_argument("--out", type=Path, default=FOLDER / "large.json", help="results [build/bench/large.json]")
    parser.add_argument("--no-setup", action="store_true", help="do not run bindings/setup first")
    options = parser.parse_args()
    from machine import describe

    folder = FOLDER / "large"
    shutil.rmtree(folder, ignore_errors=True)
    record: dict[str, Any] = {"format": 1, "machine": describe()}
    try:
        print("making the checkpoint", file=sys.stderr)
        record["checkpoint"] = step("make", str(folder / "checkpoint"), str(options.layers))
        record["precisions"] = {}
        for precision in options.precision or ["int8", "bf16"]:
            print(f"{precision}: exporting, then a team's run", file=sys.stderr)
            bundle = folder / f"{precision}.gavel"
            exported = step("export", str(folder / "checkpoint"), str(bundle), precision)
            record["precisions"][precision] = {"export": exported, "team": step("team", str(bundle))}
            shutil.rmtree(bundle)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    beside = options.out.with_name(f".{options.out.name}.part")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    beside.rename(options.out)
    show(record)
    print(f"Results: {options.out}")


if __name__ == "__main__":
    main()
