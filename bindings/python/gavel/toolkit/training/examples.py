"""Labelled rows as tokens: each task's prompt once, and what follows it for each of its candidates."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.prompts import Segments, encode
from gavel.toolkit.rows import language_of
from gavel.toolkit.text import Text
from gavel.toolkit.training.feedback import label_of, words_of

SPOKEN = {"any": "any language", "java": "Java", "python": "Python", "cpp": "C++"}  # as the library fills {language}


@dataclass(frozen=True)
class Example:
    """One candidate."""

    position: int  # among its row's candidates
    tokens: list[int]  # from the candidate's first to the one after which the verdict comes
    passed: bool
    label: int = 0  # of feedback.LABELS
    feedback: list[int] = field(default_factory=list)  # with the end token
    log_likelihood: float = float("nan")  # mean of its tokens', by its generator


@dataclass(frozen=True)
class TaskExamples:
    """A task and its candidates, of which no two are the same."""

    task: str
    problem: str  # the source problem, the same in every language
    prefix: list[int]  # what all its candidates share
    examples: list[Example]

    @property
    def mixed(self) -> bool:
        return len({each.passed for each in self.examples}) == 2


@dataclass
class Examples:
    """The tasks of a file, and what was left out of it."""

    tasks: list[TaskExamples]
    same: int = 0  # candidates equal, but for white space, to another of their task
    unusable: int = 0  # empty ones, and those whose tests could not be run
    too_long: int = 0

    @property
    def candidates(self) -> int:
        return sum(len(task.examples) for task in self.tasks)

    @property
    def correct(self) -> int:
        return sum(each.passed for task in self.tasks for each in task.examples)


@dataclass(frozen=True)
class Reading:
    """How a row becomes tokens: the judge's prompt, as the bundle will have it."""

    prompt: Segments
    tokens: Text
    max_tokens: int
    feedback: int = 0  # how many of its tokens; 0: none
    end: int = 0  # the token that ends it

    def row(self, row: Row, found: Examples) -> TaskExamples | None:
        """None where no candidate of the row can be used."""
        values = {
            "prompt": datasets.prompt(row),
            "language": SPOKEN[language_of(row)],
        }
        cut = next(at for at, segment in enumerate(self.prompt) if segment.get("slot") == "code")
        prefix = encode(self.prompt[:cut], values, self.tokens)
        examples: list[Example] = []
        seen: set[str] = set()
        for position, passed in enumerate(datasets.outcomes(row)):
            candidate = row["candidates"][position]
            squeezed = "".join(candidate["code"].split())
            if passed is None or not squeezed:
                found.unusable += 1
                continue
            if squeezed in seen:
                found.same += 1
                continue
            seen.add(squeezed)
            own = encode(self.prompt[cut:], values | {"code": candidate["code"]}, self.tokens)
            label, words = (label_of(row, position), self._words(row, position)) if self.feedback else (0, [])
            if len(prefix) + len(own) + len(words) > self.max_tokens:
                found.too_long += 1
                continue
            likely = candidate.get("mean_logprob")
            examples.append(
                Example(position, own, passed, label, words, float("nan") if likely is None else float(likely))
            )
        if not examples:
            return None
        task = datasets.task_id(row)
        return TaskExamples(task, str(row.get("source") or task), prefix, examples)

    def rows(self, rows: Sequence[Row]) -> Examples:
        found = Examples([])
        found.tasks = [task for task in (self.row(row, found) for row in rows) if task]
        if not 0 < found.correct < found.candidates:
            raise ToolkitError(
                f"{found.candidates} candidates of {len(found.tasks)} tasks can be used and {found.correct} of them "
                f"pass; a judge needs both outcomes to learn from ({found.too_long} are longer than "
                f"{self.max_tokens} tokens with their task)"
            )
        return found

    def _words(self, row: Row, position: int) -> list[int]:
        return [*self.tokens.encode(words_of(row, position))[: self.feedback - 1], self.end]


def drawn(task: TaskExamples, most: int | None, chance: random.Random) -> list[Example]:
    """A task's candidates for one epoch, in random order: where there are more than ``most``, as many right as wrong
    ones as far as there are."""
    examples = chance.sample(task.examples, len(task.examples))
    if most is None or len(examples) <= most:
        return examples
    right = [each for each in examples if each.passed]
    wrong = [each for each in examples if not each.passed]
    few, many = sorted((right, wrong), key=len)
    taken = few[: max(most // 2, most - len(many))]
    taken += many[: most - len(taken)]
    return chance.sample(taken, len(taken))
