"""The team file, NAME.team.json: which bundles make a team, and how their judges' words become one.

The library reads it (`Ranker::open`; ranker.hpp describes the fields); ``fit`` in it says what it was fitted on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gavel.ranker import Stacking
from gavel.toolkit import bundle as bundles
from gavel.toolkit.errors import CorruptBundleError, ToolkitError
from gavel.toolkit.judge_place import JudgePlace

FORMAT = 1
KEYS = ("format", "generator", "members", "stacking")
MEMBER_KEYS = ("bundle", "digest", "kind", "weight")


@dataclass(frozen=True)
class Member:
    """A judge and the weight of its log-odds."""

    place: JudgePlace
    weight: float


def write(
    path: str | os.PathLike[str],
    generator: Path | None,
    members: Sequence[Member],
    stacking: Stacking,
    fit: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a team of bundles as they are now, by paths relative to the file, and returns what it says."""
    file = Path(path)
    team = {
        "format": FORMAT,
        "generator": None if generator is None else named(generator, file),
        "members": [
            named(each.place.folder, file) | {"kind": each.place.kind, "judge": each.place.judge, "weight": each.weight}
            for each in members
        ],
        "stacking": asdict(stacking),
        "fit": fit,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    bundles.write_file(file, bundles.to_json(team))
    return team


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a team file says; its bundles are not opened."""
    file = Path(path)
    if not file.is_file():
        raise ToolkitError(f"no team file at {file}; make one with `gavel team fit`")
    try:
        team = json.loads(file.read_bytes())
    except ValueError as error:
        raise CorruptBundleError(f"{file} is no JSON: {error}; fit the team again") from error
    if not isinstance(team, dict) or team.get("format") != FORMAT or any(key not in team for key in KEYS):
        raise CorruptBundleError(f"{file} is no team file of format {FORMAT}; fit the team again with this version")
    for number, member in enumerate(team["members"]):
        if missing := [key for key in MEMBER_KEYS if key not in member]:
            raise CorruptBundleError(f"{file}: members[{number}] lacks {', '.join(missing)}; fit the team again")
    return team


def folder_of(path: str | os.PathLike[str], named: dict[str, Any]) -> Path:
    """Where a bundle that the team file at ``path`` names lies."""
    return Path(path).parent / named["bundle"]


def digest_of(folder: Path) -> str | None:
    """What a model's ``digest`` is, of a bundle or an adapter; None where there is neither."""
    for name in (bundles.ADAPTER, bundles.MANIFEST):
        if (folder / name).is_file():
            return bundles.sha256(folder / name)
    return None


def named(folder: Path, file: Path) -> dict[str, Any]:
    """A bundle, or an adapter in one, as a team file there names it. Raises ToolkitError where it is neither."""
    digest = digest_of(folder)
    if digest is None:
        raise ToolkitError(f"{folder} is no bundle: it has no {bundles.MANIFEST}")
    return {"bundle": os.path.relpath(folder.resolve(), file.parent.resolve()), "digest": digest}
