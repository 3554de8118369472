"""How long a training will take and how much memory, from a few of its own steps."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gavel.toolkit.training.model import JudgeModel
from gavel.toolkit.training.objectives import Objective
from gavel.toolkit.training.packing import Pack
from gavel.toolkit.training.trainer import Trainer

TRIED = 3


@dataclass(frozen=True)
class Estimate:
    """What a dry run says of the whole."""

    steps: int
    tokens: int  # that are computed, in all steps
    tokens_unpacked: int  # that would be, were each candidate read with its own prompt
    tokens_per_second: float  # forward and backward
    seconds: float  # evaluations included
    memory_bytes: int  # the largest of the process so far, or of the device
    parameters: int
    trained_parameters: int


def estimate(trainer: Trainer) -> Estimate:
    """Of a training that has not begun; its weights stay as they are."""
    model, packs = trainer.model, list(trainer.all_packs())
    both, forward = measure(model, trainer.objective, packs)
    tokens = sum(map(len, packs))
    looked_at = sum(len(task.prefix) + sum(len(each.tokens) for each in task.examples) for task in trainer.validation)
    return Estimate(
        steps=trainer.steps,
        tokens=tokens,
        tokens_unpacked=sum(int((pack.owner == 0).sum()) * (len(pack.examples) - 1) + len(pack) for pack in packs),
        tokens_per_second=both,
        seconds=tokens / both + len(trainer.looks) * looked_at / forward,
        memory_bytes=peak_memory(model.device),
        parameters=sum(each.numel() for each in model.parameters()),
        trained_parameters=sum(each.numel() for each in model.trained().values()),
    )


def measure(model: JudgeModel, objective: Objective, packs: list[Pack]) -> tuple[float, float]:
    """Tokens a second with and without a backward pass, from packs of middle length; the longest is tried too, for its
    memory. Changes no weight."""
    ordered = sorted(packs, key=len)
    middle = len(ordered) // 2
    forward, both = [], []
    for pack in [ordered[-1], *ordered[middle : middle + TRIED]]:
        moved = pack.to(model.device)
        with torch.no_grad():
            forward.append(len(pack) / _seconds(lambda moved=moved: objective.loss(model, moved)))
        both.append(len(pack) / _seconds(lambda moved=moved: objective.loss(model, moved).backward()))
        model.zero_grad(set_to_none=True)
    # The first run of all pays for what is set up once.
    return statistics.median(both[1:] or both), statistics.median(forward[1:] or forward)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def peak_memory(device: str) -> int:
    """Bytes: the process's largest so far on a CPU, else the device's."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
