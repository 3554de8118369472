"""A known model as a bundle: pulled, exported and, where a probe is given, equipped with it. A step of bindings/setup.

Usage: prepare_model.py NAME PRECISION BUNDLE [PROBE.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gavel.toolkit.bundle import add_probe
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import export
from gavel.toolkit.pull import pull


def told(what: str, stage: str, last: list[str]) -> None:
    if last[0] != stage:
        last[0] = stage
        print(f"{what}: {stage}", flush=True)


def main(name: str, precision: str, bundle: str, probe: str | None = None) -> None:
    last = [""]
    source = pull(name, progress=lambda stage, done: told(f"pull {name}", stage, last))
    export(
        source,
        bundle,
        precision=precision,
        force=True,
        progress=lambda stage, done: told(f"export {bundle}", stage, last),
    )
    if probe is not None:
        add_probe(bundle, json.loads(Path(probe).read_bytes()))
        print(f"added {probe}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ToolkitError as error:
        sys.exit(f"error: {error}")
