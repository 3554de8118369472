"""What a step makes smaller."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from gavel.toolkit.training.examples import Example
from gavel.toolkit.training.model import JudgeModel
from gavel.toolkit.training.options import TrainOptions
from gavel.toolkit.training.packing import Pack


class Objective:
    """The loss of packed tasks, summed over their candidates: divide by how many a step has."""

    def __init__(self, options: TrainOptions, correct: int, candidates: int) -> None:
        """Of an epoch of so many candidates, so many of them correct."""
        self._options = options
        balanced = candidates / (2 * correct), candidates / (2 * (candidates - correct))
        self._right, self._wrong = balanced if options.balance else (1.0, 1.0)

    def loss(self, model: JudgeModel, pack: Pack, done: float = 1.0) -> torch.Tensor:
        """``done``: the share of the training that is behind it."""
        states = model.states(pack)
        if self._options.objective != "rankef":
            loss = self._verdicts(model, states, pack)
            return (
                loss + self._options.ranking_weight * self._ranking(model, states, pack)
                if self._options.ranks
                else loss
            )
        if self._options.sharing == "hard":
            return self._verdicts(model, states, pack) + self._options.feedback_weight * feedback(model, states, pack)
        return feedback(model, states, pack) if done < 0.5 else self._verdicts(model, states, pack)

    def _verdicts(self, model: JudgeModel, states: torch.Tensor, pack: Pack) -> torch.Tensor:
        target = torch.tensor([self._target(model, each) for each in pack.examples], device=states.device)
        weight = torch.tensor([self.weight(each) for each in pack.examples], device=states.device)
        return (weight * F.cross_entropy(model.logits(states[pack.verdicts]), target, reduction="none")).sum()

    def weight(self, example: Example) -> float:
        return self._right if example.passed else self._wrong

    def _target(self, model: JudgeModel, example: Example) -> int:
        if self._options.objective == "rankef":
            return example.label
        return model.verdicts.correct if example.passed else model.verdicts.wrong

    def _ranking(self, model: JudgeModel, states: torch.Tensor, pack: Pack) -> torch.Tensor:
        passed = torch.tensor([each.passed for each in pack.examples], device=states.device)
        log_odds = model.log_odds(states[pack.verdicts])
        one = pairwise(log_odds, passed) if self._options.objective == "pairwise" else listwise(log_odds, passed)
        return one * len(passed)


def pairwise(log_odds: torch.Tensor, passed: torch.Tensor) -> torch.Tensor:
    """RankNet's loss (Burges et al. 2005): the mean over pairs of a right and a wrong candidate of
    -log sigmoid(difference); 0 where there is no pair."""
    if passed.all() or not passed.any():
        return log_odds.sum() * 0
    return nn.functional.softplus(log_odds[~passed][None] - log_odds[passed][:, None]).mean()


def listwise(log_odds: torch.Tensor, passed: torch.Tensor) -> torch.Tensor:
    """ListNet's top-one loss (Cao et al. 2007) against a target that is uniform over the right candidates; 0 where
    there are only such or none."""
    if passed.all() or not passed.any():
        return log_odds.sum() * 0
    return -log_odds.log_softmax(0)[passed].mean()


def feedback(model: JudgeModel, states: torch.Tensor, pack: Pack) -> torch.Tensor:
    """Cross-entropy of the feedback's tokens, a mean for each candidate."""
    each = F.cross_entropy(model.vocabulary(states[pack.spoken]), pack.words, reduction="none")
    lengths = torch.tensor([len(example.feedback) for example in pack.examples], device=states.device)
    return (each / lengths.repeat_interleave(lengths)).sum()
