"""tests/bench/judges: a trained judge in the library beside the model it was trained as."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gavel.toolkit.training.examples import TaskExamples

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/bench"
AGREE = 1e-4  # largest difference of P(correct), in fp32
DESCRIPTION = """\
Asks a judge that gavel train made about labelled candidates three times: as PyTorch's model in float32, as the library
runs it in fp32, and in another precision. Prints the largest difference of P(correct) between the first two (to reach:
below 1e-4), and what the precision changes in AUROC and in the share of tasks whose best-judged candidate passes.
"""
EXAMPLES = """examples:
  tests/bench/judges judge-folder model.gguf labelled.jsonl
  tests/bench/judges judge-folder model.gguf labelled.jsonl --tasks 60 --precision bf16
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests/bench/judges",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("judge", type=Path, help="the folder that gavel train left, of an adapter")
    parser.add_argument("base", type=Path, help="what it was trained from")
    parser.add_argument("rows", type=Path, help="labelled rows")
    parser.add_argument("--candidates", type=int, default=200, help="that PyTorch's model is asked about [200]")
    parser.add_argument("--tasks", type=int, default=60, help="that both precisions are asked about [60]")
    parser.add_argument("--precision", default="int8", help="beside fp32 [int8]")
    parser.add_argument("--out", type=Path, default=FOLDER / "judges.json", help="[build/bench/judges.json]")
    options = parser.parse_args()
    for name in ("candidates", "tasks"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}, expected at least 1")
    return options


def say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def bundle(base: Path, judge: Path, precision: str) -> Path:
    """The base in that precision, exported where it is not there yet, with the judge as an adapter; where it is."""
    from gavel.toolkit.adapter import adapt
    from gavel.toolkit.export import export

    folder = FOLDER / f"{base.stem}-{precision}.gavel"
    if not (folder / "gavel.json").is_file():
        say(f"exporting {folder.name}")
        export(base, folder, precision=precision)
    return adapt(folder, judge, name="benched", force=True)


def said_by(place: Path, speaks: bool, rows: Sequence[dict[str, Any]], tasks: Sequence[TaskExamples]) -> list[Any]:
    """The library's log-odds of each task's distinct candidates."""
    import numpy as np

    import gavel
    from gavel.toolkit.rows import candidates_of, task_of

    judge = gavel.Judge(gavel.Model.open(place), "verbalizer" if speaks else "classifier")
    found = []
    for row, task in zip(rows, tasks, strict=True):
        distinct = row | {"candidates": [row["candidates"][each.position] for each in task.examples]}
        verdicts = judge.judge(task_of(row), candidates_of(distinct))
        found.append(np.array([each.logit for each in verdicts]))
    return found


def until(tasks: Sequence[TaskExamples], candidates: int) -> Iterator[TaskExamples]:
    for task in tasks:
        if candidates <= 0:
            return
        yield task
        candidates -= len(task.examples)


def main() -> None:
    given = arguments()
    # Not before: --help works without the virtual environment.
    import numpy as np
    from machine import describe
    from scipy.special import expit

    from gavel.toolkit import datasets
    from gavel.toolkit.bundle import to_json
    from gavel.toolkit.training import TrainOptions
    from gavel.toolkit.training.prepare import prepare
    from gavel.toolkit.training.scoring import log_odds, worth
    from gavel.toolkit.training.train import start

    record = json.loads((given.judge / "training.json").read_bytes())
    options = TrainOptions(**(record["options"] | {"precision": "fp32", "device": "cpu"}))
    prepared = prepare(given.base, given.rows, None, options, start_from=given.judge)
    tasks = prepared.train.tasks[: given.tasks]
    by_task = {datasets.task_id(row): row for row in datasets.read_rows(given.rows)}
    rows = [by_task[task.task] for task in tasks]

    places = {precision: bundle(given.base, given.judge, precision) for precision in ("fp32", given.precision)}
    said = {}
    for precision, place in places.items():
        say(f"the library in {precision}, {len(tasks)} tasks")
        said[precision] = said_by(place, options.speaks, rows, tasks)
    few = list(until(tasks, given.candidates))
    say(f"PyTorch in fp32, {len(few)} tasks")
    model = start(prepared, options).model
    reference = np.concatenate([log_odds(model, task, options.max_tokens) for task in few])
    ours = np.concatenate(said["fp32"][: len(few)])

    found = {precision: worth(each, tasks) for precision, each in said.items()}
    figures = {precision: {name: each[name] for name in ("auroc", "top_1")} for precision, each in found.items()}
    result = {
        "format": 1,
        "machine": describe(),
        "judge": given.judge.name,
        "base": record["base"]["name"],
        "fp32": {
            "candidates": len(reference),
            "largest_difference_p_correct": float(np.abs(expit(reference) - expit(ours)).max()),
            "largest_difference_log_odds": float(np.abs(reference - ours).max()),
        },
        "precisions": {"tasks": len(tasks), "candidates": sum(len(task.examples) for task in tasks), **figures},
        "change": {name: figures[given.precision][name] - each for name, each in figures["fp32"].items()},
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    datasets.write_atomically(given.out, to_json(result))
    print(json.dumps({key: result[key] for key in ("fp32", "precisions", "change")}, indent=1))
    if result["fp32"]["largest_difference_p_correct"] > AGREE:
        raise SystemExit(f"the library and PyTorch differ by more than {AGREE}")


if __name__ == "__main__":
    main()
