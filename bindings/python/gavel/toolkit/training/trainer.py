"""The steps: which tasks each takes, what it changes, when it is looked at, and what is kept."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import Progress
from gavel.toolkit.training.checkpoint import State
from gavel.toolkit.training.examples import Examples, TaskExamples, drawn
from gavel.toolkit.training.model import JudgeModel
from gavel.toolkit.training.objectives import Objective
from gavel.toolkit.training.options import TrainOptions
from gavel.toolkit.training.packing import Pack, packs
from gavel.toolkit.training.scoring import evaluate

LARGEST_GRADIENT = 1.0


class Trainer:
    """One training, from wherever ``state`` stands. Which tasks a step takes follows from the seed and its number
    alone, so that a training that was stopped goes on as if it had not been."""

    def __init__(
        self, model: JudgeModel, train: Examples, validation: list[TaskExamples], options: TrainOptions
    ) -> None:
        self.model, self.train, self.validation, self.options = model, train, validation, options
        seen = [each for task in train.tasks for each in drawn(task, options.candidates, random.Random(0))]
        self.objective = Objective(options, sum(each.passed for each in seen), len(seen))
        self._per_epoch = math.ceil(len(train.tasks) / options.tasks_per_step)
        whole = options.epochs * self._per_epoch
        self.steps = min(whole, options.max_steps or whole)
        self.looks = {round(self.steps * i / options.evaluations) for i in range(1, options.evaluations + 1)} - {0}
        self._trained = model.trained()
        self._optimizer = torch.optim.AdamW(self._trained.values(), lr=options.step_size, weight_decay=0.0)

    def packs_of(self, step: int) -> list[Pack]:
        """Those of one step, numbered from 0."""
        epoch, at = divmod(step, self._per_epoch)
        order = list(range(len(self.train.tasks)))
        random.Random(f"{self.options.seed} {epoch}").shuffle(order)
        size = self.options.tasks_per_step
        found = []
        for number in order[at * size : (at + 1) * size]:
            task = self.train.tasks[number]
            chance = random.Random(f"{self.options.seed} {epoch} {task.task}")
            found += packs(task, drawn(task, self.options.candidates, chance), self.options.max_tokens)
        return found

    def all_packs(self) -> Iterator[Pack]:
        return (pack for step in range(self.steps) for pack in self.packs_of(step))

    def run(self, state: State, folder: Path, fingerprint: str, tell: Progress) -> State:
        """Trains to the end, or until evaluations do not get better; the model then has the best weights."""
        self._take_up(state)
        kept = begun = time.monotonic()
        before = state.seconds
        try:
            while state.step < self.steps and not self._over(state):
                self._step(state)
                now = time.monotonic()
                state.seconds = before + now - begun
                tell(self._said(state), state.step / self.steps)
                looked = state.step in self.looks
                if looked:
                    self._look(state, tell)
                if looked or now - kept > self.options.checkpoint_seconds:
                    self._keep(state, folder, fingerprint)
                    kept = time.monotonic()
        except KeyboardInterrupt:
            self._keep(state, folder, fingerprint)
            raise
        self._put(state.best or self._weights())
        return state

    def _step(self, state: State) -> None:
        taken = self.packs_of(state.step)
        count = sum(len(pack.examples) for pack in taken)
        for group in self._optimizer.param_groups:
            group["lr"] = self.options.step_size * self.pace(state.step)
        loss = 0.0
        for pack in taken:
            part = self.objective.loss(self.model, pack.to(self.model.device), state.step / self.steps) / count
            part.backward()
            loss += part.item()
        if not math.isfinite(loss):
            raise ToolkitError(
                f"the loss is {loss} in step {state.step + 1}; try a smaller learning rate than "
                f"{self.options.step_size:g}, or precision fp32"
            )
        torch.nn.utils.clip_grad_norm_(self._trained.values(), LARGEST_GRADIENT)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.tokens += sum(map(len, taken))
        state.history.append({"step": state.step, "loss": loss})

    def pace(self, step: int) -> float:
        """The share of the learning rate: it rises over the warm-up, then falls as a half cosine."""
        warm = self.options.warmup * self.steps
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, self.steps - warm)))

    def _look(self, state: State, tell: Progress) -> None:
        if not self.validation:
            return
        share = state.step / self.steps
        found = evaluate(
            self.model, self.validation, self.options.max_tokens, lambda done: tell(f"validation {done:.0%}", share)
        )
        state.history.append({"step": state.step, **found})
        merits = self._merits(state)
        if not merits or merits[-1] >= max(merits):
            state.best, state.best_step = self._weights(), state.step

    def _over(self, state: State) -> bool:
        """Whether the last evaluations were all worse than the best before them."""
        merits, patience = self._merits(state), self.options.patience
        return len(merits) > patience and max(merits[-patience:]) < max(merits[:-patience])

    def _merits(self, state: State) -> list[float]:
        """What the evaluations are compared by: AUROC, within tasks where the objective ranks."""
        merit = "auroc_within_tasks" if self.options.ranks else "auroc"
        return [each[merit] for each in state.history if each.get(merit) is not None]

    def _said(self, state: State) -> str:
        rate = state.seconds / max(1, state.step)
        left = round(rate * (self.steps - state.step))
        return (
            f"step {state.step} of {self.steps}, loss {state.history[-1]['loss']:.3f}, {left // 60}:{left % 60:02} left"
        )

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: each.detach().cpu().clone() for name, each in self._trained.items()}

    def _put(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, each in self._trained.items():
                each.copy_(weights[name])

    def _take_up(self, state: State) -> None:
        if state.step:
            self._put(state.weights)
            self._optimizer.load_state_dict(state.optimizer)

    def _keep(self, state: State, folder: Path, fingerprint: str) -> None:
        state.weights, state.optimizer = self._weights(), self._optimizer.state_dict()
        state.save(folder, fingerprint)
