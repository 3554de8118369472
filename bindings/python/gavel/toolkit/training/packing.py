"""A task with its candidates as one sequence, in which what they share is computed once.

The shared prompt comes first, then each candidate's own tokens, which see the prompt and themselves and nothing of each
other, at the positions they would have alone. So a step costs about half of what candidates one by one do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gavel.toolkit.training.examples import Example, TaskExamples


@dataclass(frozen=True)
class Pack:
    """One packed sequence of T tokens."""

    ids: torch.Tensor  # [T]
    positions: torch.Tensor  # [T]
    owner: torch.Tensor  # [T], 0 for the prompt, i + 1 for candidate i
    verdicts: torch.Tensor  # [candidates], where each one's verdict is read
    examples: list[Example]
    spoken: torch.Tensor  # where a feedback token is next, all candidates'
    words: torch.Tensor  # which

    def __len__(self) -> int:
        return len(self.ids)

    def mask(self, dtype: torch.dtype, window: int = 0) -> torch.Tensor:
        """What is added to attention scores, ``[1, 1, T, T]``; ``window``: how far back a token sees, 0 for all."""
        order = torch.arange(len(self), device=self.ids.device)
        seen = (order[:, None] >= order) & ((self.owner == 0) | (self.owner[:, None] == self.owner))
        if window:
            seen &= self.positions[:, None] - self.positions < window
        hidden = torch.zeros(len(self), len(self), dtype=dtype, device=self.ids.device)
        return hidden.masked_fill(~seen, torch.finfo(dtype).min)[None, None]

    def to(self, device: str) -> Pack:
        moved = (each.to(device) for each in (self.ids, self.positions, self.owner, self.verdicts))
        return Pack(*moved, self.examples, self.spoken.to(device), self.words.to(device))


def pack(prefix: Sequence[int], examples: list[Example]) -> Pack:
    ids, positions, owner = list(prefix), list(range(len(prefix))), [0] * len(prefix)
    verdicts, spoken, words = [], [], []
    for number, example in enumerate(examples, 1):
        own = example.tokens + example.feedback[:-1]
        verdict = len(ids) + len(example.tokens) - 1
        verdicts.append(verdict)
        spoken += range(verdict, verdict + len(example.feedback))
        words += example.feedback
        ids += own
        positions += range(len(prefix), len(prefix) + len(own))
        owner += [number] * len(own)
    numbers = (torch.tensor(each, dtype=torch.long) for each in (ids, positions, owner, verdicts))
    return Pack(*numbers, examples, torch.tensor(spoken, dtype=torch.long), torch.tensor(words, dtype=torch.long))


def packs(task: TaskExamples, examples: Sequence[Example], max_tokens: int) -> list[Pack]:
    """As few as hold at most so many tokens each; candidates are spread evenly over them, in their order."""
    room = max_tokens - len(task.prefix)
    sizes = [len(each.tokens) + len(each.feedback) for each in examples]
    count = max(1, -(-sum(sizes) // room))
    bins: list[list[Example]] = [[]]
    filled, share = 0, sum(sizes) / count
    for example, size in zip(examples, sizes, strict=True):
        if bins[-1] and (filled + size > room or (filled >= share and len(bins) < count)):
            bins.append([])
            filled = 0
        bins[-1].append(example)
        filled += size
    return [pack(task.prefix, each) for each in bins]
