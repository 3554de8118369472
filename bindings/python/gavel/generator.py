"""Writing candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from gavel._ffi import Fields, check, ffi, handle, initialised, lib, read_text, sized
from gavel._handle import Handle, exclusive
from gavel.cancel import Cancel, cancellation
from gavel.errors import InvalidArgument
from gavel.model import Model
from gavel.task import Candidate, GenerateStats, Task, read_candidates, read_stats, task_fields


class GenerateOptions(TypedDict, total=False):
    """How candidates are written. Filters apply in the order penalties, temperature, top_k, top_p, min_p."""

    candidates: int
    """1 to 1024 [10]."""
    max_tokens: int
    """Per candidate [256]."""
    temperature: float
    """> 0; 0 means greedy [0.8]."""
    top_k: int
    """Keep the k most likely tokens; 0 keeps all [0]."""
    top_p: float
    """Keep the smallest set with this probability mass, in (0, 1] [0.95]."""
    min_p: float
    """Drop tokens below min_p times the likeliest one's probability, in [0, 1) [0]."""
    repetition_penalty: float
    """> 0, on tokens seen in prompt or candidate; 1 is off [1]."""
    presence_penalty: float
    """Subtracted once for tokens already in the candidate, in [-2, 2] [0]."""
    seed: int
    """Candidate i depends on (seed, i), never on how many there are [0]."""
    stop: Sequence[str]
    """Further stop strings; the text ends before the first that appears [none]."""
    stop_tokens: Sequence[int]
    """Further stop tokens, beside the bundle's own [none]."""
    language_stops: bool
    """End a completion with its function, closing the types around it [True]."""
    probe: bool
    """Fill p_correct where the bundle has a probe [True]."""
    stop_below: float
    """Stop a candidate once an early probe of the bundle gives it less than this probability of being correct, in
    [0, 1]; Unsupported where the bundle has none; 0 never does [0]."""


@dataclass(frozen=True)
class StreamEvent:
    """One piece of a candidate while it is written."""

    task: int
    """Index into the tasks of the call."""
    candidate: int
    token: int
    text: str
    """Never ends within a character; may be empty."""
    finished: bool
    """The candidate's last event."""


StreamCallback = Callable[[StreamEvent], object]
"""Called on the calling thread, in order of decode steps. What it raises ends the call and reaches the caller."""


@dataclass
class Generation:
    """All candidates of one task, in order of their index; iterates as them."""

    candidates: list[Candidate]
    prompt_tokens: list[int] = field(default_factory=list)
    stats: GenerateStats = field(default_factory=GenerateStats)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, index: int) -> Candidate:
        return self.candidates[index]


class Generator(Handle):
    """Writes candidates with one model. For one thread at a time; make one per thread on a shared Model."""

    def __init__(self, model: Model) -> None:
        new = ffi.new("gavel_generator **")
        check(lib().gavel_generator_create(new, model._handle))
        super().__init__(handle(new, lib().gavel_generator_destroy))
        self.model = model

    def generate(
        self,
        task: Task | str,
        *,
        stream: StreamCallback | None = None,
        cancel: Cancel | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Generation:
        """N candidates of one task from one prefill. ``timeout`` is in seconds; see `GenerateOptions` for the rest."""
        return self.generate_many([task], stream=stream, cancel=cancel, timeout=timeout, **options)[0]

    def generate_many(
        self,
        tasks: Sequence[Task | str],
        *,
        stream: StreamCallback | None = None,
        cancel: Cancel | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> list[Generation]:
        """Many tasks in one call, in order."""
        fields = [task_fields(task) for task in tasks]
        c_tasks = ffi.new("gavel_task *[]", [each.struct for each in fields])
        c_options = options_fields(options)
        out = ffi.new("gavel_candidates *[]", len(fields))
        caught = Caught()
        with exclusive(self), cancellation(cancel, timeout) as c_cancel:
            status = lib().gavel_generator_generate_many(
                out, self._handle, c_tasks, len(fields), c_options.struct, c_cancel, caught.stream(stream), ffi.NULL
            )
        caught.check(status)
        lists = [ffi.gc(each, lib().gavel_candidates_destroy) for each in out]
        return [_read_generation(each) for each in lists]


class Caught:
    """Exceptions of callbacks, carried across the library to the caller."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._callback: Any = ffi.NULL

    def stream(self, callback: StreamCallback | None) -> Any:
        """The callback as a gavel_stream_fn, alive as long as this object."""
        if callback is None:
            return ffi.NULL

        def on_event(event: Any, _payload: Any) -> int:
            try:
                text = read_text(event.text)
                callback(StreamEvent(event.task, event.candidate, event.token, text, bool(event.finished)))
            except BaseException as failure:  # KeyboardInterrupt too: the caller gets it, and the library ends in order
                self.failure = failure
                return 1
            return 0

        self._callback = ffi.callback("gavel_stream_fn", on_event, error=1)
        return self._callback

    def check(self, status: int) -> None:
        """Raises what a callback raised, or else the exception of the status."""
        if self.failure is not None:
            raise self.failure
        check(status)


def options_fields(options: GenerateOptions) -> Fields:
    """The options as a gavel_generate_options."""
    fields = Fields(initialised("gavel_generate_options"))
    for name, value in options.items():
        if name not in GenerateOptions.__annotations__:
            known = ", ".join(GenerateOptions.__annotations__)
            raise TypeError(f"unknown option {name!r}; known are {known}")
        if name == "stop":
            if isinstance(value, str):
                raise InvalidArgument(f"stop is the text {value!r}, expected a list of stop strings")
            fields.texts("stop", "stop_count", list(value))
        elif name == "stop_tokens":
            fields.array("int32_t", "stop_tokens", "stop_token_count", value)
        else:
            fields.number(name, value)
    return fields


def _read_generation(c_list: Any) -> Generation:
    tokens, count = ffi.new("const int32_t **"), ffi.new("size_t *")
    check(lib().gavel_candidates_get_prompt_tokens(tokens, count, c_list))
    stats = sized("gavel_generate_stats")
    check(lib().gavel_candidates_get_stats(stats, c_list))
    prompt_tokens = ffi.unpack(tokens[0], count[0]) if count[0] else []
    return Generation(read_candidates(c_list), prompt_tokens, read_stats(stats))
