"""A known model as a bundle: pulled, exported and equipped with the given probe and judge. A step of bindings/setup.

Usage: prepare_model.py NAME PRECISION BUNDLE [PROBE.json] [JUDGE_FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gavel.toolkit.adapter import adapt
from gavel.toolkit.bundle import add_probe
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import export
from gavel.toolkit.pull import pull


def told(what: str, stage: str, last: list[str]) -> None:
    if last[0] != stage:
        last[0] = stage
        print(f"{what}: {stage}", flush=True)


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
            adapt(bundle, each, name="judge", progress=lambda stage, done: told(f"adapt {bundle}", stage, last))
        else:
            add_probe(bundle, json.loads(each.read_bytes()))
        print(f"added {each}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ToolkitError as error:
        sys.exit(f"error: {error}")
