"""What all figures of a study share: how many candidates, how often drawn, and the bootstrap over tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gavel.toolkit.figures import Bootstrap, Doubles
from gavel.toolkit.study.pools import Candidates, Ints


@dataclass(frozen=True)
class Resampling:
    """``sizes``: numbers of candidates to choose among; ``repetitions``: how often so many are drawn from a larger
    pool; ``draws``: of the bootstrap."""

    sizes: tuple[int, ...] = (2, 5, 10)
    repetitions: int = 10
    draws: int = 2000
    seed: int = 0
    _bootstraps: dict[int, Bootstrap] = field(default_factory=dict, repr=False, compare=False)

    def bootstrap(self, tasks: int) -> Bootstrap:
        """The same for every figure over so many tasks, so that their differences are paired."""
        if tasks not in self._bootstraps:
            self._bootstraps[tasks] = Bootstrap(tasks, self.draws, self.seed)
        return self._bootstraps[tasks]

    def worth(self, passes: Doubles) -> dict[str, Any]:
        """pass@1 over the tasks [tasks] whose value is known, and how many these are."""
        known = passes[np.isfinite(passes)]
        return {"tasks": len(known), "pass_at_1": self.bootstrap(len(known)).mean(known) if len(known) else None}

    def usable(self, found: Candidates) -> list[int]:
        """The sizes for which every task has enough candidates."""
        return [size for size in sorted(set(self.sizes)) if size <= found.smallest]

    def drawn(self, found: Candidates, size: int) -> Ints:
        """Columns [tasks, repetitions, size], drawn without replacement: first the pool's own first ones. One
        repetition where no pool is larger. A pool that lost candidates to a harness error is taken whole."""
        repetitions = self.repetitions if found.pool.max() > size else 1
        random = np.random.default_rng([self.seed, size])
        columns = np.full((len(found.tasks), repetitions, size), found.there.shape[1] - 1)
        for line, pool in zip(columns, found.pool, strict=True):
            for number, repetition in enumerate(line):
                order = random.permutation(pool) if number else np.arange(pool)
                repetition[: min(pool, size)] = order[:size]
        return columns
