"""A team: one generator and any number of judges."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, Unpack, get_args

from gavel._ffi import Fields, c_string, check, encode, ffi, handle, initialised, lib, read_text, sized
from gavel._handle import Handle, exclusive
from gavel.cancel import Cancel, cancellation
from gavel.errors import InternalError, InvalidArgument
from gavel.generator import Caught, GenerateOptions, Generator, StreamCallback, options_fields
from gavel.judge import AnyJudge, Judge
from gavel.model import Model, open_options
from gavel.task import (
    Candidate,
    GenerateStats,
    JudgeInfo,
    Task,
    Verdict,
    candidate_list,
    number_of,
    read_candidate,
    read_candidates,
    read_judge_info,
    read_stats,
    read_task,
    read_verdict,
    task_fields,
    verdict_fields,
)

Aggregation = Literal["mean_probability", "mean_logit", "vote", "minimum", "maximum", "stacked"]


@dataclass(frozen=True)
class Stacking:
    """What ``stacked`` knows beside the judges' weights (stacked generalization, Wolpert 1992):

    score = sigmoid(bias + sum of weight * log-odds + logprob_weight * (mean log-probability - logprob_mean))

    with each judge's log-odds before calibration, or those of its ``p_correct`` where it gives none.
    """

    bias: float = 0.0
    logprob_weight: float = 0.0
    """Of the generator's mean log-probability per token; 0 or more."""
    logprob_mean: float = 0.0
    """Of the candidates of the fit; what a candidate without one counts as having."""


@dataclass(frozen=True)
class RankOptions:
    """How a team ranks."""

    aggregation: Aggregation = "mean_probability"
    weights: list[float] = field(default_factory=list)
    """One per judge, or none for equal ones."""
    stacking: Stacking | None = None
    """Of ``stacked`` alone."""


@dataclass
class Ranked:
    """One candidate with all that was said of it."""

    candidate: Candidate
    score: float
    """The aggregated P(correct)."""
    verdicts: list[Verdict]
    """In the judges' order."""
    multiplicity: int = 1
    """How many candidates were the same as this one, itself included."""
    representative: int = 0
    """Index of the first candidate that is the same."""


@dataclass
class Ranking:
    """The evidence for a ranking: enough to replay and to explain it."""

    ranked: list[Ranked]
    """Best first."""
    judges: list[JudgeInfo]
    judge_seconds: list[float]
    reason: str
    """Why the best is best, in one sentence."""
    generator_digest: str
    """Empty where candidates were given."""
    stats: GenerateStats
    json: str = field(repr=False)
    """The whole record as one JSON object."""

    @property
    def best(self) -> Ranked:
        return self.ranked[0]

    @property
    def record(self) -> dict[str, Any]:
        """The whole record as objects."""
        return json.loads(self.json)


class Ranker(Handle):
    """A team of one generator (for `solve`) and any number of judges.

    Without judges the candidates' mean log-probability decides. Any object with ``info()`` and ``judge(task,
    candidates)`` may join as a judge. For one thread at a time, and its judges with it.
    """

    def __init__(self, generator: Generator | Model | None = None, judges: Sequence[AnyJudge] = ()) -> None:
        model = generator.model if isinstance(generator, Generator) else generator
        new = ffi.new("gavel_ranker **")
        check(lib().gavel_ranker_create(new, ffi.NULL if model is None else model._handle))
        self._own(new)
        for judge in judges:
            self.add(judge)

    @classmethod
    def open(
        cls,
        team_file: str | os.PathLike[str],
        *,
        device: str = "cpu",
        pin: str = "",
        verify_weights: bool = False,
        self_test: bool = False,
    ) -> Self:
        """The team of a team file, as ``gavel team fit`` writes it: a generator (or none), judges, and weights fitted
        on labelled candidates, by which it ranks where it is not told otherwise. Models on one base bundle share it.

        The options are those of `Model.open` for each model, but for ``pin``: the SHA-256 of the team file, and with it
        of all that it names. Raises `CorruptBundle` where a bundle is not the one of the fit.
        """
        options = open_options(device, pin, verify_weights, self_test)
        new = ffi.new("gavel_ranker **")
        check(lib().gavel_ranker_open(new, c_string(team_file, "team_file"), options.struct))
        team = cls.__new__(cls)
        team._own(new)
        return team

    def _own(self, new: Any) -> None:
        Handle.__init__(self, handle(new, lib().gavel_ranker_destroy))
        self.judges: list[AnyJudge] = []
        """Those that were added; an opened team has others (`infos`)."""
        self._callbacks: list[Any] = []
        self._caught = Caught()

    @property
    def options(self) -> RankOptions:
        """How the team ranks where it is not told: as its file says, or else the defaults."""
        found = sized("gavel_rank_options")
        check(lib().gavel_ranker_get_options(found, self._handle))
        aggregation = get_args(Aggregation)[found.aggregation]
        stacking = Stacking(found.bias, found.logprob_weight, found.logprob_mean)
        weights = ffi.unpack(found.weights, found.weight_count) if found.weight_count else []
        return RankOptions(aggregation, weights, stacking if aggregation == "stacked" else None)

    @cached_property
    def model(self) -> Model | None:
        """The generator's; None where the team has no generator."""
        new = ffi.new("gavel_model **")
        check(lib().gavel_ranker_get_model(new, self._handle))
        return None if new[0] == ffi.NULL else Model(handle(new, lib().gavel_model_destroy))

    def infos(self) -> list[JudgeInfo]:
        """What the judges say of themselves, in their order."""
        count, info, found = ffi.new("size_t *"), sized("gavel_judge_info"), []
        check(lib().gavel_ranker_count_judges(count, self._handle))
        for index in range(count[0]):
            check(lib().gavel_ranker_get_judge(info, self._handle, index))
            found.append(read_judge_info(info))
        return found

    def add(self, judge: AnyJudge) -> Ranker:
        """Adds a judge; its verdicts come in the order of adding. In an opened team it has weight 1: a probability of
        0.5 says nothing, one of 0 puts a candidate last."""
        if isinstance(judge, Judge):
            check(lib().gavel_ranker_add_judge(self._handle, judge._handle))
        else:
            self._add_own(judge)
        self.judges.append(judge)
        return self

    def rank(
        self,
        task: Task | str,
        candidates: Sequence[Candidate | str],
        *,
        aggregation: Aggregation | None = None,
        weights: Sequence[float] = (),
        stacking: Stacking | None = None,
        cancel: Cancel | None = None,
        timeout: float | None = None,
    ) -> Ranking:
        """Judges and orders given candidates; same ones are judged once. Best first.

        Without ``aggregation`` and ``weights`` the team's own `options` count; weights alone are of
        ``mean_probability``, and ``stacking`` goes with ``stacked``.
        """
        c_task, c_list, how = task_fields(task), candidate_list(candidates), _how(aggregation, weights, stacking)
        return self._run(
            lambda out, c_cancel, _stream: lib().gavel_ranker_rank(
                out, self._handle, c_task.struct, c_list, _struct(how), c_cancel
            ),
            None,
            cancel,
            timeout,
        )

    def solve(
        self,
        task: Task | str,
        *,
        aggregation: Aggregation | None = None,
        weights: Sequence[float] = (),
        stacking: Stacking | None = None,
        stream: StreamCallback | None = None,
        cancel: Cancel | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Ranking:
        """Generates, judges and ranks; see `rank`."""
        c_task, c_options, how = task_fields(task), options_fields(options), _how(aggregation, weights, stacking)
        return self._run(
            lambda out, c_cancel, c_stream: lib().gavel_ranker_solve(
                out, self._handle, c_task.struct, c_options.struct, _struct(how), c_cancel, c_stream, ffi.NULL
            ),
            stream,
            cancel,
            timeout,
        )

    def _run(
        self,
        call: Callable[[Any, Any, Any], int],
        stream: StreamCallback | None,
        cancel: Cancel | None,
        timeout: float | None,
    ) -> Ranking:
        out = ffi.new("gavel_ranking **")
        own = {id(judge): judge for judge in self.judges if isinstance(judge, Judge)}
        with exclusive(self, *own.values()), cancellation(cancel, timeout) as c_cancel:
            self._caught = Caught()
            status = call(out, c_cancel, self._caught.stream(stream))
            self._caught.check(status)
        return _read_ranking(handle(out, lib().gavel_ranking_destroy))

    def _add_own(self, judge: AnyJudge) -> None:
        info = judge.info()
        fields = Fields(initialised("gavel_judge_info"))
        fields.text("name", info.name)
        fields.text("kind", info.kind)
        fields.text("digest", info.digest)
        fields.number("trained", int(info.trained))
        fields.texts("labels", "label_count", info.labels)

        def on_judge(out: Any, c_task: Any, c_list: Any, _cancel: Any, _payload: Any) -> int:
            try:
                candidates = read_candidates(c_list)
                verdicts = list(judge.judge(read_task(c_task), candidates))
                if len(verdicts) != len(candidates):
                    raise InvalidArgument(
                        f"judge {info.name!r} gave {len(verdicts)} verdicts for {len(candidates)} candidates"
                    )
                for index, verdict in enumerate(verdicts):
                    said = verdict_fields(_whole(verdict))  # named, since it keeps alive what its struct points to
                    check(lib().gavel_verdicts_set(out, index, said.struct))
            except BaseException as failure:  # reaches the caller of rank or solve
                self._caught.failure = failure
                lib().gavel_set_last_error(encode(str(failure)))
                return InternalError.code
            return 0

        callback = ffi.callback("gavel_explain_fn", on_judge, error=InternalError.code)
        check(lib().gavel_ranker_add_explaining_judge(self._handle, fields.struct, callback, ffi.NULL))
        self._callbacks.append(callback)


def _whole(verdict: Verdict | float) -> Verdict:
    if isinstance(verdict, Verdict):
        return verdict
    return Verdict(float(verdict), None, "correct" if verdict >= 0.5 else "wrong")


def _how(aggregation: Aggregation | None, weights: Sequence[float], stacking: Stacking | None) -> Fields | None:
    """A gavel_rank_options; None for the team's own."""
    if stacking is not None and aggregation != "stacked":
        raise InvalidArgument(f"a stacking is given with aggregation {aggregation!r}; it goes with 'stacked'")
    if aggregation is None and not len(weights):
        return None
    fields = Fields(initialised("gavel_rank_options"))
    fields.number("aggregation", number_of(aggregation or "mean_probability", Aggregation, "aggregation"))
    fields.array("double", "weights", "weight_count", weights)
    for name, value in asdict(stacking or Stacking()).items():
        fields.number(name, value)
    return fields


def _struct(fields: Fields | None) -> Any:
    return ffi.NULL if fields is None else fields.struct


def _read_ranking(c_ranking: Any) -> Ranking:
    info = sized("gavel_ranking_info")
    check(lib().gavel_ranking_get_info(info, c_ranking))
    stats, text = sized("gavel_generate_stats"), ffi.new("gavel_text *")
    check(lib().gavel_ranking_get_stats(stats, c_ranking))
    check(lib().gavel_ranking_to_json(text, c_ranking))
    judges = [_read_judge(c_ranking, index) for index in range(info.judge_count)]
    return Ranking(
        ranked=[_read_ranked(c_ranking, place) for place in range(info.count)],
        judges=[judge for judge, _ in judges],
        judge_seconds=[seconds for _, seconds in judges],
        reason=read_text(info.reason),
        generator_digest=read_text(info.generator_digest),
        stats=read_stats(stats),
        json=read_text(text),
    )


def _read_judge(c_ranking: Any, index: int) -> tuple[JudgeInfo, float]:
    info, seconds = sized("gavel_judge_info"), ffi.new("double *")
    check(lib().gavel_ranking_get_judge(info, seconds, c_ranking, index))
    return read_judge_info(info), seconds[0]


def _read_verdict(c_ranking: Any, place: int, judge: int) -> Verdict:
    explanation = sized("gavel_explanation")
    check(lib().gavel_ranking_get_explanation(explanation, c_ranking, place, judge))
    return read_verdict(explanation)


def _read_ranked(c_ranking: Any, place: int) -> Ranked:
    candidate, ranked = sized("gavel_candidate"), sized("gavel_ranked")
    check(lib().gavel_ranking_get_candidate(candidate, c_ranking, place))
    check(lib().gavel_ranking_get_ranked(ranked, c_ranking, place))
    return Ranked(
        candidate=read_candidate(candidate),
        score=ranked.score,
        verdicts=[_read_verdict(c_ranking, place, judge) for judge in range(ranked.verdict_count)],
        multiplicity=ranked.multiplicity,
        representative=ranked.representative,
    )
