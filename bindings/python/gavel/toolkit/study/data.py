"""What a study is made of: test sets of generators' candidates, judges, teams, and what each of them costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError

JudgeId = tuple[str, str]  # (judge, kind), as verdicts name it
Role = Literal["zero-shot", "fine-tuned", "rankef", "classifier", "ranking", "probe", "remote"]
TRAINED: tuple[Role, ...] = ("fine-tuned", "rankef", "classifier", "ranking", "probe")


@dataclass(frozen=True)
class Spent:
    """An amount of which a task takes some once, for the prompt its candidates share, and some for each of them."""

    once: float
    each: float

    def at(self, candidates: int) -> float:
        return self.once + candidates * self.each


@dataclass(frozen=True)
class Cost:
    """What a member adds to a team; None where it is not known.

    Memory is what it needs beside the others: an adapter over the generator's own base adds its few megabytes. The
    rest is for one task: seconds, joules, and the tokens that it reads and writes.
    """

    memory_bytes: int | None = None
    seconds: Spent | None = None
    joules: Spent | None = None
    input_tokens: Spent | None = None
    output_tokens: Spent | None = None


@dataclass(frozen=True)
class Prices:
    """US dollars: of an hour of the machine that local models run on, and of a million tokens (read, written) of the
    models that are paid so, by the name of the generator or of the judge's base."""

    usd_per_hour: float | None = None
    usd_per_million_tokens: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class GeneratorRows:
    """One generator's candidates of the tasks of a test set: ``rows`` has a pool for each task, labelled and judged,
    ``greedy`` its one answer at temperature 0, labelled. ``parameters`` is a number."""

    name: str
    rows: Sequence[Row] = ()
    greedy: Sequence[Row] = ()
    parameters: int | None = None
    cost: Cost = Cost()


@dataclass(frozen=True)
class JudgeEntry:
    """A judge whose verdicts the rows have.

    ``label`` is what reports call it. ``base`` names the model it runs on: where that is the generator, a team's
    parameters count it once, and a probe needs no forward pass. ``trained_on`` names the generator whose candidates it
    learnt from. A P(correct) of ``threshold`` or more is a verdict of "correct".
    """

    judge: str
    kind: str
    label: str
    role: Role
    base: str = ""
    parameters: int | None = None
    trained_on: str | None = None
    threshold: float = 0.5
    cost: Cost = Cost()

    @property
    def id(self) -> JudgeId:
        return self.judge, self.kind


@dataclass(frozen=True)
class Team:
    """Several judges as one: the mean of their P(correct), or with ``weights`` (one each) the weighted sum of their
    log-odds before calibration and ``log_likelihood`` times the candidate's mean log-probability, as `gavel team` fits
    them. What such a sum is shifted by changes no order."""

    label: str
    judges: tuple[JudgeId, ...]
    weights: tuple[float, ...] | None = None
    log_likelihood: float = 0.0


@dataclass(frozen=True)
class TestSet:
    """Tasks that nobody learnt from. Of ``larger`` generators only the greedy answers are used."""

    __test__ = False  # to pytest: no tests in here

    name: str
    generators: Sequence[GeneratorRows]
    larger: Sequence[GeneratorRows] = ()


@dataclass(frozen=True)
class Study:
    """``train_rows`` are labelled candidates of the training split, for the ranking by surface features; ``data`` says
    where everything comes from and is handed through."""

    name: str
    test_sets: Sequence[TestSet]
    judges: Sequence[JudgeEntry]
    teams: Sequence[Team] = ()
    train_rows: Sequence[Row] = ()
    prices: Prices = Prices()
    data: Mapping[str, Any] = field(default_factory=dict)


def check(study: Study) -> None:
    """Raises ToolkitError naming the first thing of a study that contradicts itself."""
    if not study.test_sets:
        raise ToolkitError(f"study {study.name}: no test set; give one at least")
    distinct("test set", (each.name for each in study.test_sets))
    distinct("judge", (" ".join(judge.id) for judge in study.judges))
    distinct("label", (each.label for each in (*study.judges, *study.teams)))
    for judge in study.judges:
        if judge.role not in get_args(Role):
            raise ToolkitError(f"judge {judge.label}: role {judge.role!r}; expected one of {', '.join(get_args(Role))}")
    for team in study.teams:
        _check_team(team, {judge.id for judge in study.judges})
    for test_set in study.test_sets:
        if not test_set.generators:
            raise ToolkitError(f"test set {test_set.name}: no generator; give one at least")
        distinct(f"generator of test set {test_set.name}", (each.name for each in test_set.generators))
        distinct(f"larger generator of test set {test_set.name}", (each.name for each in test_set.larger))
        for generator in test_set.generators:
            if not generator.rows:
                raise ToolkitError(f"test set {test_set.name}: generator {generator.name} has no rows")
            distinct(f"task of {generator.name}", map(datasets.task_id, generator.rows))
            _check_greedy(generator)
        for generator in test_set.larger:
            if not generator.greedy:
                raise ToolkitError(
                    f"larger generator {generator.name} has no greedy rows; generate one answer at temperature 0"
                )
            _check_greedy(generator)


def distinct(what: str, names: Iterable[str]) -> None:
    """Raises ToolkitError for the first name that comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ToolkitError(f"{what} {name!r} is there twice; make them distinct")
        seen.add(name)


def _check_team(team: Team, known: set[JudgeId]) -> None:
    if not team.judges:
        raise ToolkitError(f"team {team.label}: no judges; name one at least")
    for judge in team.judges:
        if judge not in known:
            raise ToolkitError(f"team {team.label}: judge {judge[0]} ({judge[1]}) is none of the study's judges")
    if team.weights is not None and len(team.weights) != len(team.judges):
        raise ToolkitError(f"team {team.label}: {len(team.weights)} weights for {len(team.judges)} judges")


def _check_greedy(generator: GeneratorRows) -> None:
    distinct(f"greedy task of {generator.name}", map(datasets.task_id, generator.greedy))
    for row in generator.greedy:
        if len(row.get("candidates") or []) != 1:
            raise ToolkitError(
                f"greedy rows of {generator.name}: task {datasets.task_id(row)} has {len(row.get('candidates') or [])} "
                "candidates, expected one"
            )
