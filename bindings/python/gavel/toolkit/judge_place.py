"""A judge by its place: a bundle, or an adapter in one, and a kind; opened when it is first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.labelled import candidates_of
from gavel.toolkit.rows import task_of


@dataclass(frozen=True)
class JudgePlace:
    """Where a judge is, and what it is called."""

    folder: Path
    kind: str
    judge: str  # as verdicts name it
    trained_on: str | None  # digest of a probe's labels

    @classmethod
    def of(cls, folder: Path, kind: str | None) -> JudgePlace:
        """``kind`` None takes the bundle's probe if it has one, else its other judge. Raises ToolkitError where the
        bundle has no such judge."""
        base = bundles.base_of(folder)
        manifest = bundles.read_model(folder)
        name = manifest["name"] if base is None else f"{bundles.read_manifest(base)['name']}+{manifest['name']}"
        kinds = ["probe"] if manifest.get("probe") else []
        kinds += [manifest["judge"]["type"]] if manifest.get("judge") else []
        if not kinds or (kind is not None and kind not in kinds):
            has = ", ".join(kinds) or "none; fit one with `gavel fit-probe`"
            raise ToolkitError(f"{folder} has no {kind or 'judge'}; its judges are: {has}")
        kind = kind or kinds[0]
        trained_on = bundles.read_probe(folder).get("labels_sha256") if kind == "probe" else None
        return cls(folder, kind, f"{name}:{kind}", trained_on)

    def refuse_own_rows(self, labels_digest: str) -> None:
        """A probe tells its training candidates apart better than any others."""
        if labels_digest == self.trained_on:
            raise ToolkitError(
                f"{self.judge} was fitted on these very rows, where its log-odds flatter it (it came calibrated on "
                "out-of-fold ones); use rows that it has not seen"
            )


class AskedJudge:
    """The judge itself, opened at the first candidate that no row has its verdict of."""

    def __init__(self, place: JudgePlace, open_model: Callable[[Path], gavel.Model]) -> None:
        self._place, self._open = place, open_model
        self._judge: Any = None

    def __call__(self, row: Row, positions: list[int]) -> list[float]:
        if self._judge is None:
            self._judge = gavel.Judge(self._open(self._place.folder), self._place.kind)  # type: ignore[arg-type]
        return [verdict.logit for verdict in self._judge.judge(task_of(row), candidates_of(row, positions))]
