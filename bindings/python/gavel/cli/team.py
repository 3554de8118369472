"""From names on the command line to opened models, generators and judges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import typer

import gavel
from gavel.cli.errors import CommandError
from gavel.cli.options import Scoring
from gavel.judge import JudgeKind
from gavel.toolkit.bundle import base_of

KINDS = get_args(JudgeKind)
NO_JUDGE, AUTOMATIC = "none", "automatic"


def place_of(named: str, own: Path | None) -> tuple[Path, JudgeKind | None]:
    """Folder and kind of a judge by BUNDLE, BUNDLE:KIND, or the KIND alone where there is a bundle of the team's own;
    no kind where the bundle chooses."""
    bundle, colon, kind = named.rpartition(":")
    if own is not None and named in KINDS and not Path(named).exists():
        folder, kind = own, named
    elif colon and kind in KINDS:
        folder = Path(bundle)
    else:
        folder, kind = Path(named), AUTOMATIC
    return folder, None if kind == AUTOMATIC else kind  # type: ignore[return-value]


class Models:
    """Opened bundles, each once, so that a generator, the judges of its own bundle and its adapters share the
    weights."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._opened: dict[Path, gavel.Model] = {}

    def open(self, bundle: Path) -> gavel.Model:
        """A bundle, or an adapter in one."""
        key = bundle.resolve()
        if key not in self._opened:
            base = base_of(bundle)
            if base is None:
                self._opened[key] = gavel.Model.open(bundle, device=self._device)
            else:
                self._opened[key] = self.open(base).adapted(key)
        return self._opened[key]

    def judge(self, named: str, own: Path | None = None, **options: Any) -> gavel.Judge:
        """A judge as `place_of` takes it; options are gavel.Judge's."""
        folder, kind = place_of(named, own)
        return gavel.Judge(self.open(folder), kind or "automatic", **options)

    def judges(self, named: Sequence[str] | None, own: Path | None = None, **options: Any) -> list[gavel.Judge]:
        """Those named; where none is, the own bundle's; with "none", nobody."""
        named = list(named or [])
        if named == [NO_JUDGE]:
            return []
        if NO_JUDGE in named:
            raise CommandError(f"--judge {NO_JUDGE} stands beside other judges; give either")
        if not named and own is not None:
            named = [AUTOMATIC]
        return [self.judge(each, own, **options) for each in named]


def absolute(named: Sequence[str] | None, own: Path | None = None) -> list[str] | None:
    """Judges' names that mean the same in every folder; a KIND alone and "none" name no path."""
    return named and [
        each
        if each == NO_JUDGE or (own is not None and each in KINDS and not Path(each).exists())
        else str(Path(each).absolute())
        for each in named
    ]


def team_file(scoring: Scoring, **named: Any) -> Path | None:
    """The file of --team, if there is one; what it brings cannot be ``named`` beside it."""
    if scoring.team is None:
        return None
    for name, value in {"aggregation": scoring.aggregation, "weight": scoring.weight, **named}.items():
        if value:
            raise typer.BadParameter(f"--team brings its own --{name}; leave it out")
    return scoring.team.absolute()


def title(info: gavel.JudgeInfo) -> str:
    """A judge as tables name it: one without training is called so."""
    kind = "" if info.name.endswith(f":{info.kind}") else f" ({info.kind})"
    return f"{info.name}{kind}{'' if info.trained else ', untrained'}"
