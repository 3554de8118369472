"""Tasks, candidates and verdicts as plain values, and their way into the library and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gavel._ffi import Fields, absent, check, ffi, handle, initialised, lib, read_text, sized
from gavel.errors import InvalidArgument

Language = Literal["any", "java", "python", "cpp"]
Prompting = Literal["completion", "chat"]
Finish = Literal["stop_token", "stop_string", "length", "given", "stopped_by_probe"]
Decision = Literal["correct", "wrong", "abstain"]


def number_of(value: str, names: Any, what: str) -> int:
    """The ABI's number of a name of a Literal."""
    known = get_args(names)
    if value not in known:
        raise InvalidArgument(f"{what} is {value!r}, expected one of {', '.join(known)}")
    return known.index(value)


@dataclass
class Task:
    """One programming task."""

    prompt: str
    """Code prefix (completion) or instruction (chat); never empty."""
    language: Language = "any"
    """Chooses stop rules and the chat wording."""
    prompting: Prompting = "completion"
    """``completion``: the model continues the prompt. ``chat``: the answer's first code block is the candidate."""
    id: str = ""
    """The caller's own name for it."""


@dataclass
class Candidate:
    """One proposed solution of a task."""

    text: str
    """The code: a completion of the prompt, or a whole answer's code block."""
    raw: str = ""
    """All the model wrote, before code extraction and stop trimming."""
    tokens: list[int] = field(default_factory=list)
    """Sampled tokens, the stop token left out; empty when given as text."""
    tokenizer: str = ""
    """SHA-256 of the tokenizer file that the tokens belong to."""
    logprobs: list[float] = field(default_factory=list)
    """Natural log-probability of each token under the untempered model."""
    finish: Finish = "given"
    index: int = 0
    """Its number within the task; with the seed it fixes the draws."""
    p_correct: float | None = None
    """The generator's own probe, where its bundle has one."""
    probe_logit: float | None = None
    """The same before calibration."""

    @property
    def mean_logprob(self) -> float | None:
        """Mean log-probability per token, the ranking's tie-breaker; None where no token was sampled."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None


@dataclass
class Verdict:
    """A judge's word on one candidate."""

    p_correct: float
    """Calibrated probability, in [0, 1]."""
    logit: float | None = None
    """Log-odds before calibration; None from judges that know no logits."""
    decision: Decision = "abstain"
    """``p_correct`` against the judge's threshold and abstention band."""
    probabilities: list[float] = field(default_factory=list)
    """Before calibration, one per label of the judge, in their order: a classifier's softmax (of one label, a reward
    head, its sigmoid), a verbalizer's two answers. Empty from probes and from judges that know no classes."""
    feedback: str = ""
    """What the judge wrote about the candidate, where it was asked to."""
    truncated: int = 0
    """Tokens of task and candidate that an encoder had no room for; its bundle says what is left out."""


@dataclass
class JudgeInfo:
    """What a verdict's reader must know of the judge behind it."""

    name: str
    kind: str
    """``verbalizer``, ``classifier``, ``probe`` or the user's own word."""
    trained: bool = False
    """False: a model asked zero-shot; whatever shows its verdicts says so."""
    digest: str = ""
    """SHA-256 of the bundle's manifest, or empty."""
    labels: list[str] = field(default_factory=list)
    """What class probabilities are of; a verbalizer's are ``correct`` and ``wrong``."""


@dataclass
class GenerateStats:
    """Times and counts of one generation; seconds and tokens."""

    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    sample_seconds: float = 0.0
    prompt_tokens: int = 0
    sampled_tokens: int = 0
    steps: int = 0
    stopped: int = 0
    """Candidates that the probe ended (``finish`` is ``stopped_by_probe``)."""


def task_fields(task: Task | str) -> Fields:
    if isinstance(task, str):
        task = Task(task)
    fields = Fields(initialised("gavel_task"))
    fields.text("prompt", task.prompt)
    fields.text("id", task.id)
    fields.number("language", number_of(task.language, Language, "language"))
    fields.number("prompting", number_of(task.prompting, Prompting, "prompting"))
    return fields


def read_task(c_task: Any) -> Task:
    return Task(
        prompt=read_text(c_task.prompt),
        language=get_args(Language)[c_task.language],
        prompting=get_args(Prompting)[c_task.prompting],
        id=read_text(c_task.id),
    )


def candidate_list(candidates: Iterable[Candidate | str]) -> Any:
    """A gavel_candidates of the caller's candidates, numbered in their order."""
    new = ffi.new("gavel_candidates **")
    check(lib().gavel_candidates_create(new))
    made = handle(new, lib().gavel_candidates_destroy)
    for each in candidates:
        candidate = Candidate(each) if isinstance(each, str) else each
        if not isinstance(candidate, Candidate):
            raise InvalidArgument(f"expected a candidate or its text, got {type(each).__name__}")
        fields = Fields(initialised("gavel_candidate"))
        fields.text("text", candidate.text)
        fields.text("raw", candidate.raw)
        fields.array("int32_t", "tokens", "token_count", candidate.tokens)
        fields.text("tokenizer", candidate.tokenizer)
        fields.array("float", "logprobs", "logprob_count", candidate.logprobs)
        fields.number("finish", number_of(candidate.finish, Finish, "finish"))
        fields.number("p_correct", math.nan if candidate.p_correct is None else candidate.p_correct)
        fields.number("probe_logit", math.nan if candidate.probe_logit is None else candidate.probe_logit)
        check(lib().gavel_candidates_add(made, fields.struct))
    return made


def read_candidate(c_candidate: Any) -> Candidate:
    return Candidate(
        text=read_text(c_candidate.text),
        raw=read_text(c_candidate.raw),
        tokens=ffi.unpack(c_candidate.tokens, c_candidate.token_count) if c_candidate.token_count else [],
        tokenizer=read_text(c_candidate.tokenizer),
        logprobs=ffi.unpack(c_candidate.logprobs, c_candidate.logprob_count) if c_candidate.logprob_count else [],
        finish=get_args(Finish)[c_candidate.finish],
        index=c_candidate.index,
        p_correct=absent(c_candidate.p_correct),
        probe_logit=absent(c_candidate.probe_logit),
    )


def read_candidates(c_list: Any) -> list[Candidate]:
    count = ffi.new("size_t *")
    check(lib().gavel_candidates_count(count, c_list))
    one = sized("gavel_candidate")
    found = []
    for index in range(count[0]):
        check(lib().gavel_candidates_get(one, c_list, index))
        found.append(read_candidate(one))
    return found


def read_verdict(c_explanation: Any) -> Verdict:
    c_verdict, count = c_explanation.verdict, c_explanation.probability_count
    return Verdict(
        p_correct=c_verdict.p_correct,
        logit=absent(c_verdict.logit),
        decision=get_args(Decision)[c_verdict.decision],
        probabilities=ffi.unpack(c_explanation.probabilities, count) if count else [],
        feedback=read_text(c_explanation.feedback),
        truncated=c_explanation.truncated,
    )


def verdict_fields(verdict: Verdict) -> Fields:
    fields = Fields(initialised("gavel_explanation"))
    inner = fields.struct.verdict
    inner.p_correct = verdict.p_correct
    inner.logit = math.nan if verdict.logit is None else verdict.logit
    inner.decision = number_of(verdict.decision, Decision, "decision")
    fields.array("double", "probabilities", "probability_count", verdict.probabilities)
    fields.text("feedback", verdict.feedback)
    fields.number("truncated", verdict.truncated)
    return fields


def read_judge_info(c_info: Any) -> JudgeInfo:
    return JudgeInfo(
        name=read_text(c_info.name),
        kind=read_text(c_info.kind),
        trained=bool(c_info.trained),
        digest=read_text(c_info.digest),
        labels=[read_text(c_info.labels[i]) for i in range(c_info.label_count)],
    )


def read_stats(c_stats: Any) -> GenerateStats:
    return GenerateStats(
        c_stats.prefill_seconds,
        c_stats.decode_seconds,
        c_stats.sample_seconds,
        c_stats.prompt_tokens,
        c_stats.sampled_tokens,
        c_stats.steps,
        c_stats.stopped,
    )
