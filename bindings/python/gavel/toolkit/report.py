"""Ways to choose one of a task's candidates, side by side: how often the chosen one passes.

No way has seen the task's outcome: judges asked zero-shot and the log-likelihood have learnt nothing from the rows, and
the probe's probabilities are out-of-fold. A trained judge's verdicts in the rows may come from these very tasks, and
the report says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import datasets
from gavel.toolkit.bundle import sha256
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.figures import Bootstrap, K, best_of, pass_at_k
from gavel.toolkit.fit_probe import out_of_fold_path

Doubles = NDArray[np.float64]
LOG_LIKELIHOOD = "mean log-likelihood"
PROBE = "probe (out-of-fold)"


@dataclass(frozen=True)
class Labelled:
    """The candidates of one task, as arrays in their order."""

    dataset: str
    passed: NDArray[np.bool_]
    compiled: NDArray[np.bool_]
    scores: dict[str, Doubles]  # by the way's name


def report(
    judged_jsonl: str | os.PathLike[str],
    *,
    out_of_fold: str | os.PathLike[str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures over all tasks and for each data set, as plain values.

    ``out_of_fold`` are the probabilities that ``fit_probe`` left; by default those beside the rows, where they are.
    """
    rows = datasets.labelled_rows(judged_jsonl)
    if not rows:
        raise DatasetError(f"{judged_jsonl}: no row has candidates")
    probe = _out_of_fold(judged_jsonl, out_of_fold)
    tasks = [_labelled(row, probe) for row in rows]
    common = [name for name in tasks[0].scores if all(name in task.scores for task in tasks)]
    groups = {"all": tasks}
    names = dict.fromkeys(task.dataset for task in tasks)
    if len(names) > 1:
        groups |= {name: [task for task in tasks if task.dataset == name] for name in names}
    return {
        "rows": Path(judged_jsonl).name,
        "rows_sha256": sha256(Path(judged_jsonl)),
        "interval": f"95 %, percentile, paired bootstrap over tasks, {draws} draws, seed {seed}",
        "groups": {name: _group(group, common, draws, seed) for name, group in groups.items()},
    }


def write(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    datasets.write_atomically(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


def _out_of_fold(judged: str | os.PathLike[str], given: str | os.PathLike[str] | None) -> dict[str, list[float | None]]:
    path = Path(given) if given is not None else out_of_fold_path(judged)
    if given is None and not path.exists():
        return {}
    evidence = json.loads(path.read_bytes())
    if evidence["rows_sha256"] != sha256(Path(judged)):
        raise DatasetError(f"{path} belongs to other rows than {judged} holds now; run `gavel fit-probe` on them again")
    return evidence["p_correct"]


def _labelled(row: Row, probe: dict[str, list[float | None]]) -> Labelled:
    task, outcomes = datasets.task_id(row), datasets.outcomes(row)
    judged = [position for position, outcome in enumerate(outcomes) if outcome is not None]
    candidates = [row["candidates"][position] for position in judged]
    scores: dict[str, Doubles] = {}
    for name, values in _verdicts(candidates).items():
        scores[name] = _floats(values)
    if any(candidate.get("mean_logprob") is not None for candidate in candidates):
        scores[LOG_LIKELIHOOD] = _floats([candidate.get("mean_logprob") for candidate in candidates])
    if probe:
        scores[PROBE] = _floats([probe[task][position] for position in judged])
    return Labelled(
        datasets.dataset(row),
        np.array([candidate["passed"] for candidate in candidates]),
        np.array([candidate.get("status") != "compile_error" for candidate in candidates]),
        scores,
    )


def _verdicts(candidates: Sequence[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Scores by judge: the logit, which does not round to 0 or 1, or the probability where there is none."""
    named: dict[str, list[float | None]] = {}
    for position, candidate in enumerate(candidates):
        for verdict in candidate.get("verdicts") or []:
            how = "trained, may have seen these tasks" if verdict.get("trained") else "zero-shot"
            kind = verdict.get("kind") or ""
            who = verdict["judge"] if verdict["judge"].endswith(kind) else f"{verdict['judge']}:{kind}"
            values = named.setdefault(f"{who} ({how})", [None] * len(candidates))
            logit = verdict.get("logit")
            values[position] = verdict["p_correct"] if logit is None else logit
    return named


def _floats(values: Sequence[float | None]) -> Doubles:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _group(tasks: list[Labelled], names: list[str], draws: int, seed: int) -> dict[str, Any]:
    bootstrap = Bootstrap(len(tasks), draws, seed)
    passed = [task.passed for task in tasks]
    compiled = [task.compiled for task in tasks]
    ties = [task.scores.get(LOG_LIKELIHOOD, np.full(len(task.passed), np.nan)) for task in tasks]
    everything = np.concatenate(passed)
    number = np.repeat(np.arange(len(tasks)), [len(one) for one in passed])
    fewest = min(len(one) for one in passed)

    chosen: dict[str, Doubles] = {"random": np.array([one.mean() for one in passed])}
    if not np.concatenate(compiled).all():
        chosen["random, of those that compile"] = np.array(
            [p[c].mean() if c.any() else 0.0 for p, c in zip(passed, compiled, strict=True)]
        )
    aurocs: dict[str, Any] = {}
    for name in names:
        scores = [task.scores[name] for task in tasks]
        chosen[name] = best_of(scores, ties, passed)
        if "random, of those that compile" in chosen:
            last = [np.where(c, s, -np.inf) for s, c in zip(scores, compiled, strict=True)]
            chosen[f"{name}, of those that compile"] = best_of(last, ties, passed)
        flat, sound = np.concatenate(scores), np.concatenate(compiled)
        aurocs[name] = {
            "auroc": _plain(bootstrap.auroc(flat, everything, number)),
            "auroc_compiled": _plain(bootstrap.auroc(flat[sound], everything[sound], number[sound])),
        }
    chosen["oracle"] = np.array([float(one.any()) for one in passed])
    return {
        "tasks": len(tasks),
        "candidates": len(everything),
        "base_rate": float(everything.mean()),
        "compile_rate": float(np.concatenate(compiled).mean()),
        "pass_at_k": {k: float(np.mean([pass_at_k(one, k) for one in passed])) for k in K if k <= fewest},
        "ways": [
            {
                "name": name,
                "pass_at_1": _plain(bootstrap.mean(values)),
                "over_random": _plain(bootstrap.mean(values - chosen["random"])),
                **aurocs.get(name, {"auroc": None, "auroc_compiled": None}),
            }
            for name, values in chosen.items()
        ],
        "probe_over": {
            name: _plain(bootstrap.mean(chosen[PROBE] - chosen[name]))
            for name in names
            if PROBE in names and name != PROBE
        },
    }


def _plain(estimate: Any) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)
