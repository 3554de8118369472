"""Runs configurations, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import Setup
from prepare import Prepared
from workload import Workload

WORKER = Path(__file__).resolve().parent / "worker.py"
LONGEST_SECONDS = 1800


class Runner:
    """Runs configurations on one model and keeps why some could not."""

    def __init__(self, model: Prepared, folder: Path, work: Workload) -> None:
        self.model, self.folder, self.work = model, folder, work
        self.failed: dict[str, str] = {}

    def run(self, setup: Setup, tokens: int) -> dict[str, Any] | None:
        """What one run measured; None where it failed."""
        print(f"  {setup.title}", file=sys.stderr, flush=True)
        try:
            model = self.model.of(setup.engine)
        except Exception as error:  # of whatever library makes the model; the other engines go on
            return self.fail(setup, f"its model could not be made: {error}")
        work, out = self.folder / "work.json", self.folder / "run.json"
        replace(self.work, tokens=tokens).save(work)
        out.unlink(missing_ok=True)
        request = {"engine": setup.engine, "options": setup.options}
        request |= {"model": str(model), "work": str(work), "out": str(out)}
        command = [sys.executable, str(WORKER), json.dumps(request)]
        try:
            done = subprocess.run(
                command, env=environment(setup), capture_output=True, text=True, timeout=LONGEST_SECONDS
            )
        except subprocess.TimeoutExpired:
            return self.fail(setup, f"not done after {LONGEST_SECONDS} s")
        return json.loads(out.read_text()) if done.returncode == 0 else self.fail(setup, reason(done))

    def fail(self, setup: Setup, why: str) -> None:
        self.failed[setup.title] = why
        print(f"    left out: {why}", file=sys.stderr, flush=True)


def environment(setup: Setup) -> dict[str, str]:
    paths = [setup.environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
    return os.environ | setup.environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"
