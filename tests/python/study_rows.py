"""Labelled, judged rows made on the spot, and a study of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logit

from gavel.toolkit.datasets import Row
from gavel.toolkit.study.analysis import analyse
from gavel.toolkit.study.data import GeneratorRows, JudgeEntry, Study, TestSet

STATUS = {"p": "pass", "f": "wrong", "c": "compile_error", "h": "harness_error"}


def judge(name: str, role: str = "fine-tuned", **options: Any) -> JudgeEntry:
    return JudgeEntry(name, "verbalizer", name, role, **options)  # type: ignore[arg-type]


def row(
    task: str,
    outcomes: str,
    judges: dict[str, Sequence[float | None]] | None = None,
    *,
    logprob: Sequence[float] | None = None,
    code: Sequence[str] | None = None,
) -> Row:
    """``outcomes`` has a letter for each candidate: p(asses), f(ails), c(ompile error), h(arness error); ``judges``
    their P(correct), None where a judge did not speak. Programs differ unless ``code`` is given."""
    candidates: list[Row] = []
    for at, letter in enumerate(outcomes):
        verdicts = [
            {"judge": name, "kind": "verbalizer", "p_correct": said[at], "logit": float(logit(said[at]))}
            for name, said in (judges or {}).items()
            if said[at] is not None
        ]
        candidate = {"code": code[at] if code else f"return {at};", "status": STATUS[letter], "verdicts": verdicts}
        candidate |= {} if letter == "h" else {"passed": letter == "p"}
        candidates.append(candidate | ({"mean_logprob": logprob[at]} if logprob else {}))
    return {"task_id": task, "prompt": "p", "language": "java", "candidates": candidates}


def random_rows(tasks: int, pool: int, names: Sequence[str], seed: int = 0, task: str = "a") -> list[Row]:
    """Judges that know something: the later in ``names``, the more."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(tasks):
        outcomes = "".join(random.choice(["p", "f", "f", "c"], size=pool))
        right = np.array([letter == "p" for letter in outcomes])
        said = {name: 1 / (1 + np.exp(-random.normal(right * at, 1))) for at, name in enumerate(names)}
        listed = {name: [float(value) for value in values] for name, values in said.items()}
        rows.append(row(f"{task}/{number}", outcomes, listed, logprob=random.normal(-1, 0.1, pool).tolist()))
    return rows


def analysed(rows: Sequence[Row], judges: Sequence[JudgeEntry] = (), **options: Any) -> dict[str, Any]:
    """One generator on one test set; ``sizes`` and the like go to the analysis, the rest to the study."""
    how = {name: options.pop(name) for name in ("sizes", "repetitions", "draws", "seed") if name in options}
    greedy, larger = options.pop("greedy", ()), options.pop("larger", ())
    test_set = TestSet("test", [GeneratorRows("writer", rows, greedy)], larger)
    return analyse(Study("study", [test_set], judges, **options), **({"draws": 50} | how))


def only(records: Sequence[dict[str, Any]], **where: Any) -> dict[str, Any]:
    """The one record that says so."""
    (found,) = [one for one in records if all(one[key] == value for key, value in where.items())]
    return found
