"""How well the scores of rivals, teams and combinations part correct candidates from wrong ones, beside the judges'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from gavel.toolkit.study.pools import Candidates, parts
from gavel.toolkit.study.resampling import Resampling
from gavel.toolkit.study.ways import Way


def records(found: Candidates, ways: Sequence[Way], how: Resampling) -> Iterator[dict[str, Any]]:
    """A record for every way that is no single judge and does not put compiling first, over the whole pools."""
    whole = np.arange(found.there.shape[1])[None, None].repeat(len(found.tasks), axis=0)
    subsets = {"all": found.there} | ({"compiled": found.compiled} if found.compile_known else {})
    scored = [way for way in ways if way.family != "judge" and not way.compiles_first]
    for part, (subset, wanted), way in product(parts([found]), subsets.items(), scored):
        inside = found.inside(part)
        scores = way.scores(found, whole)[inside, 0]
        here = wanted[inside] & ~np.isnan(scores)
        if here.any():
            task, passed = np.nonzero(here)[0], found.passed[inside][here]
            bootstrap = how.bootstrap(int(inside.sum()))
            yield {
                "test_set": found.test_set,
                "generator": found.generator.name,
                "dataset": part,
                "subset": subset,
                "way": way.name,
                "family": way.family,
                "tasks": len(np.unique(task)),
                "candidates": len(task),
                "correct": int(passed.sum()),
                "auroc": bootstrap.auroc(scores[here], passed, task),
                "auroc_within_tasks": bootstrap.auroc_within_tasks(scores[here], passed, task),
            }
