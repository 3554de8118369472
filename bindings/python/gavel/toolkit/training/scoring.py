"""What a judge in training is worth on tasks it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from gavel.toolkit import figures
from gavel.toolkit.figures import Doubles
from gavel.toolkit.training.examples import TaskExamples
from gavel.toolkit.training.model import JudgeModel
from gavel.toolkit.training.packing import packs


def log_odds(model: JudgeModel, task: TaskExamples, max_tokens: int) -> Doubles:
    """Of each of a task's candidates."""
    training = model.training
    model.eval()
    with torch.no_grad():
        found = []
        for pack in packs(task, task.examples, max_tokens):
            moved = pack.to(model.device)
            found.append(model.log_odds(model.states(moved)[moved.verdicts]).cpu())
    model.train(training)
    return torch.cat(found).double().numpy()


def evaluate(
    model: JudgeModel,
    tasks: Sequence[TaskExamples],
    max_tokens: int,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """The `worth` of the model's log-odds."""
    scores = []
    for done, task in enumerate(tasks, 1):
        scores.append(log_odds(model, task, max_tokens))
        if progress:
            progress(done / len(tasks))
    return worth(scores, tasks)


def worth(scores: Sequence[Doubles], tasks: Sequence[TaskExamples]) -> dict[str, Any]:
    """Of log-odds of each task's candidates: AUROC and Brier score over all candidates, the mean AUROC within a task,
    and the share of tasks whose best-judged candidate passes, beside those of one at random and of the best."""
    passed = [np.array([each.passed for each in task.examples]) for task in tasks]
    ties = [np.array([each.log_likelihood for each in task.examples]) for task in tasks]
    everything, outcomes = np.concatenate(scores), np.concatenate(passed)
    number = np.repeat(np.arange(len(tasks)), [len(one) for one in passed])
    within = figures.task_aurocs(everything, outcomes, number, len(tasks))
    mixed = bool(outcomes.any() and not outcomes.all())
    return {
        "auroc": float(roc_auc_score(outcomes, everything)) if mixed else None,
        "auroc_within_tasks": None if np.isnan(within).all() else float(np.nanmean(within)),
        "brier": float(np.mean((expit(everything) - outcomes) ** 2)),
        "top_1": float(figures.best_of(scores, ties, passed).mean()),
        "random": float(np.mean([one.mean() for one in passed])),
        "oracle": float(np.mean([one.any() for one in passed])),
        "tasks": len(tasks),
        "candidates": len(outcomes),
    }
