"""tests/bench/adapters: what a second and a third judge on the same base cost."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/bench"
BUNDLE = ROOT / "build/models/qwen2.5-coder-0.5b-instruct-int8.gavel"
NAMES = ("one", "two", "three")
TARGET = 1.2  # times one judge's memory, for three
DESCRIPTION = """\
Puts three LoRA adapters of random weights, on all linear layers, into a copy of a bundle (of links to its files; the
bundle itself stays as it is) and measures, each in a process of its own and in turns: the bundle's own judge, one
adapter's, three adapters' on one base, and three judges that each opened the bundle for themselves, as three merged
exports would. Prints time to load, peak resident memory, judging speed (a verdict on ten codes of 128 tokens after a
shared prompt of 300, by every judge) and decoding speed (ten candidates, by the first judge's model), in tokens a
second; medians of --repeat runs.
"""
# What is opened: adapters by name, "" for the bundle itself; and whether all of a row share one opened bundle.
ROWS: dict[str, tuple[tuple[str, ...], bool]] = {
    "no adapter": (("",), True),
    "one adapter": (NAMES[:1], True),
    "three adapters, one base": (NAMES, True),
    "three bundles": (("", "", ""), False),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests/bench/adapters", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help=f"[{BUNDLE.relative_to(ROOT)}]")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters [16]")
    parser.add_argument("--tokens", type=int, default=64, help="to decode for each candidate [64]")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts [3]")
    parser.add_argument("--out", type=Path, default=FOLDER / "adapters.json", help="[build/bench/adapters.json]")
    options = parser.parse_args()
    for name in ("rank", "tokens", "repeat"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}, expected at least 1")
    if not (options.bundle / "gavel.json").is_file():
        parser.error(f"{options.bundle} is no bundle; make one with bindings/setup or gavel export")
    return options


def prepare(bundle: Path, copy: Path, rank: int) -> None:
    """A copy of links with three adapters in it: files of their own, though their numbers are the same."""
    from gavel.toolkit.adapter import adapt

    copy.mkdir()
    for file in bundle.iterdir():
        if file.is_file():
            (copy / file.name).symlink_to(file.resolve())
    print("  making an adapter", file=sys.stderr, flush=True)
    first = adapt(copy, random_adapter(copy, copy.parent / NAMES[0], rank))
    for name in NAMES[1:]:
        shutil.copytree(first, first.parent / name)


def random_adapter(bundle: Path, folder: Path, rank: int) -> Path:
    """A peft folder with random weights for every linear layer, small enough to leave the model its sense."""
    import torch
    from safetensors.torch import save_file

    from gavel.toolkit.bundle_source import BundleSource
    from gavel.toolkit.lora import PREFIX

    folder.mkdir()
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in BundleSource(bundle).shapes().items():
        if len(shape) == 2 and ".layers." in name:
            layer = PREFIX + name.removesuffix(".weight")
            tensors[f"{layer}.lora_A.weight"] = torch.randn(rank, shape[1], generator=random) / shape[1] ** 0.5
            tensors[f"{layer}.lora_B.weight"] = 0.01 * torch.randn(shape[0], rank, generator=random)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none", "init_lora_weights": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def run(bundle: Path, work: Path, row: str) -> dict[str, Any]:
    print(f"  {row}", file=sys.stderr, flush=True)
    adapters, shared = ROWS[row]
    request = {"bundle": str(bundle), "work": str(work), "adapters": adapters, "shared": shared}
    command = [sys.executable, str(Path(__file__).with_name("adapters_worker.py")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{row} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def show(results: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="tokens a second, seconds, MB", title_justify="left")
    table.add_column("judges")
    for name in ("judging", "decoding", "load s", "judge s", "peak MB", "times one judge's"):
        table.add_column(name, justify="right")
    one = results["no adapter"]["peak_bytes"]
    for title, row in results.items():
        rates = [f"{row['judging']:,.0f}", f"{row['decoding']:,.0f}"]
        times = [f"{row['load_seconds']:.2f}", f"{row['judge_seconds']:.2f}"]
        table.add_row(title, *rates, *times, f"{row['peak_bytes'] / 1e6:,.0f}", f"{row['peak_bytes'] / one:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    three = results["three adapters, one base"]["peak_bytes"] / one
    console.print(f"Three judges on one base take {three:.2f} times one's memory (to reach: below {TARGET})")


def main() -> None:
    options = arguments()
    # Not before: --help works without the virtual environment.
    from machine import describe
    from workload import make

    import gavel

    with tempfile.TemporaryDirectory() as folder:
        copy, work = Path(folder) / options.bundle.name, Path(folder) / "work.json"
        prepare(options.bundle, copy, options.rank)
        make(gavel.Model.open(copy).tokenizer.encode, options.tokens).save(work)
        runs = [{row: run(copy, work, row) for row in ROWS} for _ in range(options.repeat)]
    results = {row: {name: median(each[row][name] for each in runs) for name in runs[0][row]} for row in ROWS}
    record = {"format": 1, "machine": describe(), "bundle": options.bundle.name, "rank": options.rank}
    record |= {"tokens": options.tokens, "repeat": options.repeat, "judges": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    beside = options.out.with_name(f".{options.out.name}.part")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(beside, options.out)
    show(results)
    print(f"Results: {options.out}")


if __name__ == "__main__":
    main()
