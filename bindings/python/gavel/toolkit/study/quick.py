"""The study that is shipped: on the project's own tasks, with models that are at hand."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from string import Template

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study.study_file import StudyFile, of_values

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[4]
MODELS = REPOSITORY / "build" / "models"
GENERATOR, JUDGE = "qwen2.5-coder-0.5b-instruct-int8.gavel", "smollm2-135m-instruct-int8.gavel"


def quick(generator: Path | None = None, judge: Path | None = None) -> StudyFile:
    """``generator`` writes, and ``judge`` is asked as it is and then trained: bundles. By default those that a
    checkout's set-up made; where there is no judge, it is the generator."""
    generator = generator or _built(GENERATOR)
    if generator is None:
        raise ToolkitError(
            f"{MODELS / GENERATOR} is not there; name a bundle that writes with --generator, or run bindings/setup"
        )
    judge = judge or _built(JUDGE) or generator
    paths = {"tasks": tasks(), "generator": generator.resolve(), "judge": judge.resolve()}
    text = Template((HERE / "quick.toml").read_text(encoding="utf-8"))
    filled = text.substitute({name: json.dumps(str(path)) for name, path in paths.items()})
    return of_values(tomllib.loads(filled), Path.cwd(), "the quick study")


def tasks() -> Path:
    """The project's tasks: a package has a copy, a checkout has them among its examples."""
    found = [path for path in (HERE / "tasks", REPOSITORY / "examples" / "tasks") if path.is_dir()]
    if not found:
        raise ToolkitError(f"the project's tasks are neither in {HERE} nor in the checkout; install the package again")
    return found[0]


def _built(name: str) -> Path | None:
    path = MODELS / name
    return path if path.is_dir() else None
