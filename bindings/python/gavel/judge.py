"""Saying how likely a candidate is correct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gavel._ffi import Fields, absent, check, ffi, handle, initialised, lib, new_array, sized, take
from gavel._handle import Handle, exclusive
from gavel.cancel import Cancel, cancellation
from gavel.model import Model
from gavel.task import (
    Candidate,
    JudgeInfo,
    Task,
    Verdict,
    candidate_list,
    number_of,
    read_judge_info,
    read_verdict,
    task_fields,
)

if TYPE_CHECKING:
    import numpy

JudgeKind = Literal["automatic", "verbalizer", "classifier", "probe"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on P(correct), and what it was worth on the judge's validation candidates: those at or above it are
    selected."""

    threshold: float
    precision: float
    """Share of the selected candidates that are correct."""
    precision_low: float
    """Lower end of its 95 % interval (Wilson): what few selected candidates can show."""
    coverage: float
    """Share of all candidates that are selected."""
    selected: int
    candidates: int


class AnyJudge(Protocol):
    """Anything that can join a team: a `Judge`, or an object of your own."""

    def info(self) -> JudgeInfo: ...

    def judge(self, task: Task, candidates: list[Candidate], /) -> Sequence[Verdict | float]:
        """One verdict, or probability of being correct, per candidate in order."""
        ...


class Judge(Handle):
    """P(correct) of candidates by one model. For one thread at a time; make one per thread on a shared Model."""

    def __init__(
        self,
        model: Model,
        kind: JudgeKind = "automatic",
        *,
        threshold: float | None = None,
        abstain_band: float | None = None,
        feedback_tokens: int = 0,
        precision: float | None = None,
    ) -> None:
        """``automatic`` takes the bundle's probe where it has one, else its classifier, else its verbalizer.

        ``threshold`` and ``abstain_band`` override the bundle's own. With ``feedback_tokens`` the judge also writes
        feedback, at most so long, about each candidate; only a classifier on an encoder-decoder can. ``precision``
        takes the threshold of `at_precision`; Unsupported where there is none.
        """
        options = Fields(initialised("gavel_judge_options"))
        options.number("kind", number_of(kind, JudgeKind, "kind"))
        options.number("threshold", math.nan if threshold is None else threshold)
        options.number("abstain_band", math.nan if abstain_band is None else abstain_band)
        options.number("feedback_tokens", feedback_tokens)
        options.number("precision", math.nan if precision is None else precision)
        new = ffi.new("gavel_judge **")
        check(lib().gavel_judge_create(new, model._handle, options.struct))
        super().__init__(handle(new, lib().gavel_judge_destroy))
        self.model = model

    def info(self) -> JudgeInfo:
        out = sized("gavel_judge_info")
        check(lib().gavel_judge_get_info(out, self._handle))
        return read_judge_info(out)

    def at_precision(self, precision: float) -> OperatingPoint | None:
        """The threshold of most coverage that had this precision on the judge's validation candidates; None where none
        had. Raises Unsupported where the bundle stores no validation of this judge (`gavel calibrate` makes one)."""
        out = sized("gavel_operating_point")
        check(lib().gavel_judge_at_precision(out, self._handle, precision))
        if absent(out.threshold) is None:
            return None
        names = OperatingPoint.__dataclass_fields__
        return OperatingPoint(**{name: getattr(out, name) for name in names})

    def judge(
        self,
        task: Task | str,
        candidates: Sequence[Candidate | str],
        *,
        cancel: Cancel | None = None,
        timeout: float | None = None,
    ) -> list[Verdict]:
        """One verdict per candidate, in order. A decoder reads the task once for all of them; an encoder reads each
        with its task, as much of it as there is room for (`Verdict.truncated`)."""
        c_task, c_list = task_fields(task), candidate_list(candidates)
        new = ffi.new("gavel_verdicts **")
        with exclusive(self), cancellation(cancel, timeout) as c_cancel:
            status = lib().gavel_judge_explain(new, self._handle, c_task.struct, c_list, c_cancel)
        check(status)
        verdicts, one, found = handle(new, lib().gavel_verdicts_destroy), sized("gavel_explanation"), []
        for index in range(len(candidates)):
            check(lib().gavel_verdicts_get(one, verdicts, index))
            found.append(read_verdict(one))
        return found


def tap(
    model: Model,
    task: Task | str,
    candidates: Sequence[Candidate | str],
    layers: Sequence[int],
    *,
    cancel: Cancel | None = None,
    timeout: float | None = None,
) -> numpy.ndarray:
    """Mean hidden states of the candidates' tokens in the generation context: float32 [candidates, layers, hidden].

    Layer 0 is the embedding's output, layer L the last layer's.
    """
    c_task, c_list = task_fields(task), candidate_list(candidates)
    c_layers = new_array("int32_t", layers, "layers")
    out, hidden = ffi.new("float **"), ffi.new("size_t *")
    with cancellation(cancel, timeout) as c_cancel:
        status = lib().gavel_tap(out, hidden, model._handle, c_task.struct, c_list, c_layers, len(layers), c_cancel)
    check(status)
    return _floats(out, (len(candidates), len(layers), hidden[0]))


def tap_tokens(
    model: Model,
    task: Task | str,
    candidates: Sequence[Candidate | str],
    layers: Sequence[int],
    *,
    cancel: Cancel | None = None,
    timeout: float | None = None,
) -> list[numpy.ndarray]:
    """The same of every token, for probes that pool otherwise: for each candidate float32 [tokens, layers, hidden].

    A candidate's tokens are those it was written with where they are this model's, else those of its text.
    """
    c_task, c_list = task_fields(task), candidate_list(candidates)
    c_layers = new_array("int32_t", layers, "layers")
    out, hidden, tokens = ffi.new("float **"), ffi.new("size_t *"), ffi.new("size_t[]", len(candidates))
    with cancellation(cancel, timeout) as c_cancel:
        status = lib().gavel_tap_tokens(
            out,
            hidden,
            tokens,
            len(candidates),
            model._handle,
            c_task.struct,
            c_list,
            c_layers,
            len(layers),
            c_cancel,
        )
    check(status)
    states, begin, found = _floats(out, (sum(tokens), len(layers), hidden[0])), 0, []
    for count in tokens:
        found.append(states[begin : begin + count])
        begin += count
    return found


def _floats(out: Any, shape: tuple[int, ...]) -> numpy.ndarray:
    import numpy

    memory = take(out)
    floats = ffi.buffer(memory, math.prod(shape) * ffi.sizeof("float")) if math.prod(shape) else b""
    return numpy.frombuffer(floats, dtype=numpy.float32).reshape(shape).copy()
