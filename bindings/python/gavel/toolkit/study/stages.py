"""Stages of a study: each made once for what goes into it, found again by a key over that, and resumed where killed.

A stage's key is the SHA-256 over its code's version, its options and the contents of its inputs. Its output is the
folder ``stages/NAME-KEY``, filled beside (``stages/.NAME-KEY.part``) and renamed when it is whole; a stage whose folder
is there is not run again. A part that a kill left is handed to the next run of the same stage.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gavel.toolkit import bundle as bundles
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.errors import ToolkitError

RECORD = "stage.json"


@dataclass(frozen=True)
class Made:
    """A file or folder that another stage makes, by its path in that stage's output."""

    stage: str
    path: str


Input = Path | str | Made
"""A file or folder that is there, another stage's, or, as a text, something with a name alone, such as a Hub id."""


@dataclass(frozen=True)
class Work:
    """What a stage is given: a folder to fill, its inputs where they lie, and whom to tell how far it is."""

    folder: Path
    inputs: Mapping[str, Any]
    tell: Callable[[str, float], None]
    """What is being done, and which share of the stage is."""
    notes: list[str] = field(default_factory=list)
    """What the reader of the study must know of how the stage went; kept with its output."""


@dataclass(frozen=True)
class Stage:
    name: str
    kind: str
    code: int | str
    """Raised when what ``run`` writes for the same options and inputs changes."""
    run: Callable[[Work], None]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    options: Any = None
    """Plain values that JSON can hold."""
    resumes: bool = False
    """Whether ``run`` goes on with what it finds in its folder; else it starts with an empty one."""


@dataclass(frozen=True)
class Outcome:
    """How a stage stands: ``made`` now, ``cached`` from before, or ``to do``, as a dry run finds it."""

    stage: Stage
    state: str
    folder: Path | None = None
    seconds: float = 0.0
    """What it took to make, whenever that was."""
    notes: Sequence[str] = ()


@dataclass
class Runner:
    """Runs stages in their order; inputs come from earlier ones."""

    root: Path
    begun: Callable[[Stage, int, int], None] = lambda stage, number, total: None
    ended: Callable[[Outcome, int, int], None] = lambda outcome, number, total: None
    tell: Callable[[str, float], None] = lambda step, share: None
    _digests: dict[Path, tuple[tuple[int, int], str]] = field(default_factory=dict)

    def run(self, stages: Sequence[Stage], *, dry: bool = False) -> dict[str, Outcome]:
        """The outcome of each stage, by name. A dry run makes nothing; there a stage after one that is to do is to do,
        since what goes into it is not known yet."""
        if dry:
            return self._all(stages, dry=True)
        with _alone(self.root):
            return self._all(stages, dry=False)

    def _all(self, stages: Sequence[Stage], *, dry: bool) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for number, stage in enumerate(stages, 1):
            self.begun(stage, number, len(stages))
            found = outcomes[stage.name] = self._one(stage, outcomes, dry)
            self.ended(found, number, len(stages))
        return outcomes

    def _one(self, stage: Stage, outcomes: Mapping[str, Outcome], dry: bool) -> Outcome:
        inputs: dict[str, Any] = {}
        for name, given in stage.inputs.items():
            if isinstance(given, Made):
                before = outcomes[given.stage].folder
                if before is None:
                    return Outcome(stage, "to do")
                given = before / given.path
            inputs[name] = given
        said = {
            "stage": stage.name,
            "code": stage.code,
            "options": stage.options,
            "inputs": {name: self.digest(given) for name, given in inputs.items()},
        }
        key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
        named = f"{re.sub(r'[^A-Za-z0-9.]+', '-', stage.name).strip('-.')}-{key}"
        folder = self.root / "stages" / named
        if folder.is_dir():
            kept = json.loads((folder / RECORD).read_bytes())
            return Outcome(stage, "cached", folder, kept["seconds"], kept["notes"])
        if dry:
            return Outcome(stage, "to do")
        begun = time.perf_counter()
        part = folder.with_name(f".{named}.part")
        if part.exists() and not stage.resumes:
            shutil.rmtree(part)
        part.mkdir(parents=True, exist_ok=True)
        work = Work(part, inputs, self.tell)
        stage.run(work)
        made = {"seconds": round(time.perf_counter() - begun, 3), "notes": work.notes}
        write_atomically(part / RECORD, bundles.to_json(said | made))
        part.rename(folder)
        return Outcome(stage, "made", folder, **made)

    def digest(self, given: Path | str) -> str:
        """SHA-256 of a file, of a bundle's or an adapter's manifest, which names the hashes of its files, or of all
        files of another folder; of a text itself."""
        if isinstance(given, str):
            return hashlib.sha256(given.encode()).hexdigest()
        if given.is_file():
            return self._file(given)
        if not given.is_dir():
            raise ToolkitError(f"{given} is not there; a stage of the study reads it")
        if (given / bundles.MANIFEST).is_file():
            return self._file(given / bundles.MANIFEST)
        base = bundles.base_of(given)
        if base is not None:
            both = self._file(given / bundles.ADAPTER) + self._file(base / bundles.MANIFEST)
            return hashlib.sha256(both.encode()).hexdigest()
        files = sorted(path for path in given.rglob("*") if path.is_file())
        said = [[path.relative_to(given).as_posix(), self._file(path)] for path in files]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def _file(self, path: Path) -> str:
        stat = path.stat()
        state = (stat.st_size, stat.st_mtime_ns)
        known = self._digests.get(path)
        if known is None or known[0] != state:
            known = self._digests[path] = (state, bundles.sha256(path))
        return known[1]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One run at a time in a folder."""
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ToolkitError(f"another study is running in {root}; wait for it, or name another folder") from None
        yield
    finally:
        os.close(lock)
