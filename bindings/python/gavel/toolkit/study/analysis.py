"""From labelled, judged rows to all figures of a study, as plain values that JSON can hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from gavel.toolkit import calibration
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.figures import K, pass_at_k
from gavel.toolkit.study import cascade, comparisons, costs, data, judging, pools, ranking, surface, way_auroc, ways
from gavel.toolkit.study.data import JudgeEntry, Study, Team, TestSet
from gavel.toolkit.study.pools import Candidates
from gavel.toolkit.study.ranking import Ranked
from gavel.toolkit.study.resampling import Resampling

FORMAT = 1
NO_LOOKS = "No training rows of both outcomes are given, so nothing is ranked by surface features."


def analyse(
    study: Study, *, sizes: Sequence[int] = (2, 5, 10), repetitions: int = 10, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Every figure says its n; what is not defined is None, and lists of what a study does not have are empty.

    ``sizes`` are numbers of candidates to choose among, drawn ``repetitions`` times where a task's pool is larger;
    ``draws`` are those of the bootstrap over tasks. Raises ToolkitError for a study that contradicts itself, and for
    rows that are not labelled.
    """
    data.check(study)
    if not sizes or min(sizes) < 2 or repetitions < 1 or draws < 1:
        raise ToolkitError(
            f"sizes {list(sizes)}, {repetitions} repetitions, {draws} draws: expected sizes of 2 or more, and at least "
            "one repetition and one draw"
        )
    how = Resampling(tuple(sizes), repetitions, draws, seed)
    looks = surface.fit(study.train_rows)
    parts = [_test_set(study, test_set, looks, how) for test_set in study.test_sets]
    joined: dict[str, Any] = {name: [record for part in parts for record in part[name]] for name in parts[0]}
    asked = [record["question"] for record in joined["comparisons"]]
    return plain(
        {
            "format": FORMAT,
            "study": study.name,
            "data": dict(study.data),
            "settings": {
                "sizes": list(sizes),
                "repetitions": repetitions,
                "draws": draws,
                "seed": seed,
                "bins": calibration.BINS,
            },
            "method": [*_method(how, looks), *joined.pop("method")],
            "judges": [_judge(judge) for judge in study.judges],
            "teams": [_team(study, team) for team in study.teams],
            **joined,
            "questions": [
                {"id": question, "text": text, "tests": asked.count(question)}
                for question, text in comparisons.QUESTIONS.items()
            ],
        }
    )


def _test_set(study: Study, test_set: TestSet, looks: Pipeline | None, how: Resampling) -> dict[str, list[Any]]:
    found = [pools.candidates(test_set.name, generator, study.judges) for generator in test_set.generators]
    larger = [(generator, pools.answers(generator.greedy)) for generator in test_set.larger]
    choosing = [ways.ways(study, one, looks) for one in found]
    ranked = [ranking.rank(one, every, how) for one, every in zip(found, choosing, strict=True)]
    return {
        "method": [note for one in found for note in _missing(study, one, how)],
        "generators": [record for one in ranked for record in _generators(one, how)],
        "judging": list(judging.judging(found, how)),
        "way_auroc": [
            record for one, every in zip(found, choosing, strict=True) for record in way_auroc.records(one, every, how)
        ],
        "ranking": [record for one in ranked for record in ranking.records(one, how)],
        "cascade": [record for one in found for record in cascade.cascades(one, how)],
        "larger": list(costs.larger_records(test_set.name, larger, how)),
        "costs": list(costs.costs(ranked, test_set.name, larger, study.prices, how)),
        "comparisons": list(comparisons.comparisons(ranked, {model.name: outcomes for model, outcomes in larger}, how)),
    }


def _judge(judge: JudgeEntry) -> dict[str, Any]:
    names = ("judge", "kind", "label", "role", "base", "parameters", "trained_on", "threshold")
    return {name: getattr(judge, name) for name in names}


def _team(study: Study, team: Team) -> dict[str, Any]:
    labels = {judge.id: judge.label for judge in study.judges}
    return {
        "label": team.label,
        "judges": [labels[judge] for judge in team.judges],
        "weights": None if team.weights is None else list(team.weights),
        "log_likelihood": team.log_likelihood,
    }


def _generators(ranked: Ranked, how: Resampling) -> Iterator[dict[str, Any]]:
    """What a generator's candidates are, of all tasks and of each data set."""
    found = ranked.found
    for dataset in pools.parts([found]):
        inside = found.inside(dataset)
        pool, passed = found.pool[inside], found.passed[inside]
        each = [line[:length] for line, length in zip(passed, pool, strict=True)]
        statuses = Counter(status for line, here in zip(found.status, inside, strict=True) if here for status in line)
        yield {
            "test_set": found.test_set,
            "generator": found.generator.name,
            "dataset": dataset,
            "parameters": found.generator.parameters,
            "tasks": len(pool),
            "candidates": pool.sum(),
            "pool": {"min": pool.min(), "max": pool.max()},
            "left_out": np.array(found.left_out)[inside].sum(),
            "correct": passed.sum(),
            "compiled": found.compiled[inside].sum() if found.compile_known else None,
            "solvable": passed.any(axis=1).sum(),
            "pass_at_k": {k: np.mean([pass_at_k(one, k) for one in each]) for k in K if k <= pool.min()},
            "statuses": dict(statuses.most_common()) if found.compile_known else None,
            "greedy": how.worth(ranked.greedy.passes[inside, 0]) if ranked.greedy is not None else None,
        }


def _method(how: Resampling, looks: Pipeline | None) -> list[str]:
    """What holds for all figures."""
    return [
        "A judge says that a candidate is correct from its threshold on: where it was calibrated, the P(correct) whose "
        "verdicts agreed best (Cohen's kappa) with the validation candidates, else 0.5.",
        f"Intervals are 95 %: percentiles of a paired bootstrap over tasks ({how.draws} draws, seed {how.seed}).",
        "Where candidates share the highest score, pass@1 is the expected value of choosing one of them at random.",
        "Won is the share of the distance from choosing at random to the oracle; the relative gain is over one "
        "candidate of the generator, analytically from its whole pool.",
        "In paired tests a task counts as solved by the choice among the pool's first candidates, the first of them "
        "where several share the highest score; the generator alone by its first candidate. p is McNemar's exact test, "
        "adjusted by Benjamini and Hochberg over a question's tests in one test set.",
        "The margins of a cascade are quantiles on the test tasks: its curve shows what can be had, and a margin to "
        "use has to be chosen on others.",
        *([NO_LOOKS] if looks is None else []),
    ]


def _missing(study: Study, found: Candidates, how: Resampling) -> Iterator[str]:
    """What holds for one generator's candidates."""
    where = f"{found.test_set}, {found.generator.name}"
    usable = how.usable(found)
    for size in usable:
        if found.pool.max() > size:
            yield (
                f"{where}: choosing among {size} is the mean of {how.repetitions} draws of {size} from each task's "
                "pool, without replacement; nothing was generated anew."
            )
    if left := [size for size in how.sizes if size not in usable]:
        yield f"{where}: no choosing among {', '.join(map(str, left))}, since a task has {found.smallest} candidates."
    if found.unknown:
        yield f"{where}: {found.unknown} tasks are left out, since no candidate's tests could be run."
    if not found.compile_known:
        yield f"{where}: the rows do not say which candidates compile."
    silent = [judge.label for judge in study.judges if judge not in found.judges]
    if silent:
        yield f"{where}: no verdicts of {', '.join(silent)}."


def plain(value: Any) -> Any:
    """Plain values for JSON, numbers to six significant digits, and None for what is no finite number."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
