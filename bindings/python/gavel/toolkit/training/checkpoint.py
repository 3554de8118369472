"""What a stopped training goes on from."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.errors import ToolkitError

FILE = "checkpoint.pt"
Weights = dict[str, torch.Tensor]


@dataclass
class State:
    """Where a training stands. ``history`` holds one entry a step and one an evaluation, in order."""

    step: int = 0
    weights: Weights = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: Weights = field(default_factory=dict)
    best_step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path, fingerprint: str) -> None:
        content = io.BytesIO()
        torch.save(vars(self) | {"fingerprint": fingerprint}, content)
        write_atomically(folder / FILE, content.getvalue())

    @classmethod
    def load(cls, folder: Path, fingerprint: str) -> State:
        """A new state where the folder has none. Raises ToolkitError for that of another training."""
        file = folder / FILE
        if not file.exists():
            return cls()
        try:
            kept = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ToolkitError(f"{file} cannot be read ({error}); remove it, or start anew with --overwrite") from error
        if kept.pop("fingerprint") != fingerprint:
            raise ToolkitError(
                f"{folder} holds a training with other options, rows or base; name another folder, give the same "
                "options to go on with it, or start anew with --overwrite"
            )
        return cls(**kept)

    @staticmethod
    def remove(folder: Path) -> None:
        (folder / FILE).unlink(missing_ok=True)
