"""tests/bench/team: Gavel beside other engines on one workload."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine import ENGINES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/bench"
BUSY = 0.5  # of a core, on average over a minute
DEFAULT = "qwen2.5-coder-0.5b-instruct"
DESCRIPTION = """\
Runs one workload on Gavel (int8), llama.cpp (Q8_0), CTranslate2 (int8) and transformers, with the same weights and
token ids: a 256-token prompt, ten candidates of 128 sampled tokens, then a verdict on ten codes of 128 tokens
after a shared prompt of 300. Prints tokens/s of prefill, decoding and judging, time to load and peak memory of each,
Gavel's ratio to the best of the others, and its share of the machine's measured memory bandwidth and int8 arithmetic.

Each engine is first tried briefly in every configuration it has. Those that do not work are left out by name; the
fastest in decoding and in judging take part in the whole, each run in a process of its own, in turns. The machine
should do nothing else meanwhile. The first run prepares the models and may build llama.cpp (minutes).
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests/bench/team", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", action="append", help=f"a name gavel pull knows, or a GGUF file; repeatable [{DEFAULT}]"
    )
    parser.add_argument("--bundle", type=Path, help="Gavel's int8 bundle of it [build/models, else exported]")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median counts [3]")
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"some of {','.join(ENGINES)} [all]")
    parser.add_argument("--all", action="store_true", help="every working configuration takes part in the whole")
    parser.add_argument("--quick", action="store_true", help="only the brief try of each: it shows that they work")
    parser.add_argument("--out", type=Path, default=FOLDER / "team.json", help="the results [build/bench/team.json]")
    parser.add_argument("--no-setup", action="store_true", help="do not run bindings/setup first")
    options = parser.parse_args()
    options.model = options.model or [DEFAULT]
    known = {each.lower(): each for each in ENGINES}
    wanted = options.engines.split(",")
    if unknown := [each for each in wanted if each.lower() not in known]:
        parser.error(f"no engine is called {unknown[0]!r}; known are {', '.join(ENGINES)}")
    options.engines = [known[each.lower()] for each in wanted]
    if options.repeat < 1:
        parser.error(f"--repeat is {options.repeat}, expected at least 1")
    if options.bundle and len(options.model) > 1:
        parser.error("--bundle goes with one --model")
    return options


def main() -> None:
    options = arguments()
    # Not before: --help works without the virtual environment.
    from contest import contest
    from machine import describe
    from report import show
    from rich.console import Console

    (FOLDER / "models").mkdir(parents=True, exist_ok=True)
    machine = describe()
    if machine["load"] > BUSY:
        print(f"this machine is busy (load {machine['load']:.1f}): times will say little", file=sys.stderr)
    results = {Path(name).stem if name.endswith(".gguf") else name: None for name in options.model}
    for name, key in zip(options.model, list(results), strict=True):
        results[key] = contest(name, options.engines, options, FOLDER)
    record = {"format": 1, "machine": machine, "quick": options.quick, "repeat": options.repeat, "models": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    beside = options.out.with_name(f".{options.out.name}.part")
    # Results are kept and compared: where this checkout lies is nobody's business.
    beside.write_text(json.dumps(record, indent=1).replace(f"{ROOT}/", "") + "\n")
    beside.rename(options.out)

    console = Console(width=None if sys.stdout.isatty() else 130)
    flags = ", ".join(machine["flags"])
    console.print(f"{machine['processor']}, {machine['threads']} threads ({flags})", highlight=False)
    for name, result in results.items():
        show(console, name, result)
    console.print(f"Results: {options.out}", highlight=False)


if __name__ == "__main__":
    main()
