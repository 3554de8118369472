"""What a stage finds out of the model at work in it, for the tables of cost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit.bundle_source import BundleSource
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.errors import ToolkitError

FACTS = "facts.json"


def facts_of(model: gavel.Model, memory_bytes: int) -> dict[str, Any]:
    return {"name": model.name, "digest": model.digest, "device": model.device, "memory_bytes": memory_bytes}


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    write_atomically(folder / FACTS, bundles.to_json(facts))


def read_facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
    return facts


def parameters(bundle: Path) -> int | None:
    """How many the model of a bundle has, or of the bundle that an adapter's folder is in; None of an encoder."""
    try:
        shapes = BundleSource(bundles.base_of(bundle) or bundle).shapes()
    except ToolkitError:
        return None
    return sum(math.prod(shape) for shape in shapes.values())
