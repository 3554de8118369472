"""A known model as a bundle: pulled, exported and equipped with the given probe and judge. A step of bindings/setup.

Where the judge's folder has a team.json, its weights become a team file beside the bundle: NAME.team.json.

Usage: prepare_model.py NAME PRECISION BUNDLE [PROBE.json] [JUDGE_FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from gavel.ranker import Stacking
from gavel.toolkit import team_file
from gavel.toolkit.adapter import adapt
from gavel.toolkit.bundle import ADAPTERS, add_probe
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import export
from gavel.toolkit.judge_place import JudgePlace
from gavel.toolkit.pull import pull
from gavel.toolkit.team_file import Member

JUDGE, TEAM = "judge", "team.json"


def told(what: str, stage: str, last: list[str]) -> None:
    if last[0] != stage:
        last[0] = stage
        print(f"{what}: {stage}", flush=True)


def write_team(bundle: Path, said: dict[str, Any]) -> None:
    """A team of the bundle's own judges, by kind, as `gavel team fit` found it on another machine."""
    members = []
    for each in said["members"]:
        folder = bundle if each["kind"] == "probe" else bundle / ADAPTERS / JUDGE
        members.append(Member(JudgePlace.of(folder, each["kind"]), each["weight"]))
    file = bundle.with_suffix(".team.json")
    team_file.write(file, bundle, members, Stacking(**said["stacking"]), said["fit"])
    print(f"wrote {file}")


def main(name: str, precision: str, bundle: str, *equipment: str) -> None:
    last = [""]
    source = pull(name, progress=lambda stage, done: told(f"pull {name}", stage, last))
    export(
        source,
        bundle,
        precision=precision,
        force=True,
        progress=lambda stage, done: told(f"export {bundle}", stage, last),
    )
    for each in map(Path, equipment):
        if each.is_dir():
            adapt(
                bundle, each, name=JUDGE, force=True, progress=lambda stage, done: told(f"adapt {bundle}", stage, last)
            )
        else:
            add_probe(bundle, json.loads(each.read_bytes()))
        print(f"added {each}")
    for team in (Path(each) / TEAM for each in equipment):
        if team.is_file():  # last, since a team names its bundle by digest
            write_team(Path(bundle), json.loads(team.read_bytes()))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ToolkitError as error:
        sys.exit(f"error: {error}")
