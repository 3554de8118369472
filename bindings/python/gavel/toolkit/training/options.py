"""What a training is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from gavel.toolkit.errors import ToolkitError

Objective = Literal["verbalizer", "classifier", "rankef", "pairwise", "listwise"]
Sharing = Literal["hard", "intermediate"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class TrainOptions:
    """How a judge is trained.

    ``objective``:

    - ``verbalizer``: the word for correct or wrong as the next token (Crupi et al., arXiv 2602.11911);
    - ``classifier``: a head of two labels on the state after the prompt;
    - ``rankef``: a head of three (correct, execution error, intent error) together with writing the execution feedback
      (Sun et al., arXiv 2408.13976); ``sharing`` is theirs too: both at once ("hard"), or feedback in the first half of
      the steps and labels in the second ("intermediate");
    - ``pairwise`` and ``listwise``: the verbalizer's loss plus, among the candidates of one task, RankNet's (Burges et
      al. 2005) or ListNet's (Cao et al. 2007) on the log-odds.
    """

    objective: Objective = "verbalizer"
    full: bool = False  # all weights instead of LoRA
    rank: int = 16
    alpha: float = 32.0
    first_layer: int = 0  # layers below stay as they are, and cost no backward pass
    learning_rate: float | None = None  # default: 2e-4 for LoRA, 1e-5 for all weights
    warmup: float = 0.05  # share of the steps
    epochs: int = 1
    max_steps: int | None = None
    tasks_per_step: int = 4
    candidates: int | None = None  # of a task and epoch, at most; drawn anew in every epoch
    max_tokens: int = 2048  # of a task with its candidates; more are read in several goes
    balance: bool = True  # right and wrong candidates weigh the same in all
    sharing: Sharing = "hard"
    feedback_weight: float = 1.0
    feedback_tokens: int = 48
    ranking_weight: float = 1.0
    evaluations: int = 5  # of the validation rows, in the whole
    patience: int = 3  # evaluations without a better AUROC that end it
    validation_tasks: int | None = 64
    checkpoint_seconds: float = 300.0
    precision: Precision = "auto"  # bf16 where the device multiplies it fast
    device: str = "cpu"
    seed: int = 0
    judge_prompt: str | None = None  # the wording, as for an export
    plain: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("objective", Objective), ("sharing", Sharing), ("precision", Precision)):
            value = getattr(self, name)
            if value not in get_args(allowed):
                raise ToolkitError(f"{name} is {value!r}; expected {', '.join(get_args(allowed))}")
        least = dict.fromkeys(("rank", "epochs", "tasks_per_step", "evaluations", "patience", "feedback_tokens"), 1)
        least |= {"max_tokens": 64, "first_layer": 0, "max_steps": 1, "candidates": 1, "validation_tasks": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ToolkitError(f"{name} is {value}; expected {low} or more")
        if not 0 <= self.warmup < 1:
            raise ToolkitError(f"warmup is {self.warmup}; expected a share of the steps, from 0 to below 1")

    @property
    def ranks(self) -> bool:
        return self.objective in ("pairwise", "listwise")

    @property
    def speaks(self) -> bool:
        """Whether the verdict is a word, not a label."""
        return self.objective not in ("classifier", "rankef")

    @property
    def step_size(self) -> float:
        return self.learning_rate or (1e-5 if self.full else 2e-4)

    def decides(self) -> dict[str, Any]:
        """What a training that goes on must have in common with the one it goes on with."""
        free = {"device", "checkpoint_seconds"}
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in free}
