"""Saying how likely a candidate is correct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from gavel._ffi import Fields, check, ffi, handle, initialised, lib, new_array, sized, take
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
    ) -> None:
        """``automatic`` takes the bundle's probe where it has one, else its classifier, else its verbalizer.

        ``threshold`` and ``abstain_band`` override the bundle's own. With ``feedback_tokens`` the judge also writes
        feedback, at most so long, about each candidate; only a classifier on an encoder-decoder can.
        """
        options = Fields(initialised("gavel_judge_options"))
        options.number("kind", number_of(kind, JudgeKind, "kind"))
        options.number("threshold", math.nan if threshold is None else threshold)
        options.number("abstain_band", math.nan if abstain_band is None else abstain_band)
        options.number("feedback_tokens", feedback_tokens)
        new = ffi.new("gavel_judge **")
        check(lib().gavel_judge_create(new, model._handle, options.struct))
        super().__init__(handle(new, lib().gavel_judge_destroy))
        self.model = model

    def info(self) -> JudgeInfo:
        out = sized("gavel_judge_info")
        check(lib().gavel_judge_get_info(out, self._handle))
        return read_judge_info(out)

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
    import numpy

    c_task, c_list = task_fields(task), candidate_list(candidates)
    c_layers = new_array("int32_t", layers, "layers")
    out, hidden = ffi.new("float **"), ffi.new("size_t *")
    with cancellation(cancel, timeout) as c_cancel:
        status = lib().gavel_tap(out, hidden, model._handle, c_task.struct, c_list, c_layers, len(layers), c_cancel)
    check(status)
    shape = (len(candidates), len(layers), hidden[0])
    memory = take(out)
    floats = ffi.buffer(memory, math.prod(shape) * ffi.sizeof("float")) if math.prod(shape) else b""
    return numpy.frombuffer(floats, dtype=numpy.float32).reshape(shape).copy()
