"""Options that several commands share, each described once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gavel.generator import GenerateOptions
from gavel.ranker import Aggregation as AggregationName


class Language(StrEnum):
    any = "any"
    java = "java"
    python = "python"
    cpp = "cpp"


class Prompting(StrEnum):
    completion = "completion"
    chat = "chat"


class Aggregation(StrEnum):
    mean_probability = "mean_probability"
    mean_logit = "mean_logit"
    vote = "vote"
    minimum = "minimum"
    maximum = "maximum"


def _finite(value: float | list[float] | None) -> float | list[float] | None:
    for each in value if isinstance(value, list) else [value]:
        if each is not None and not math.isfinite(each):
            raise typer.BadParameter(f"{each} is no number that can be used here")
    return value


def _of(panel: str, *names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def _number(panel: str, *names: str, help: str, **more: Any) -> Any:
    return _of(panel, *names, help=help, callback=_finite, **more)


INPUT, OUTPUT, TEAM, SAMPLING = "Tasks", "Output", "Team", "Writing candidates"

_GENERATOR = _of(TEAM, "--generator", "-g", metavar="BUNDLE", help="Who writes.")
GeneratorBundle = Annotated[Path, _GENERATOR]
OptionalGenerator = Annotated[Path | None, _GENERATOR]
Device = Annotated[str, _of(TEAM, "--device", help="cpu, cuda or cuda:N.")]
Ray = Annotated[
    str | None,
    _of(
        TEAM,
        "--ray",
        metavar="ADDRESS",
        help="Work on a Ray cluster, one worker on each node: auto (this machine's) or HOST:PORT. Each node must have "
        "Gavel, and see the bundles under the same paths.",
    ),
]
Rows = Annotated[Path, typer.Argument(metavar="ROWS.jsonl", help="Rows with task_id, prompt and candidates.")]
Limit = Annotated[int | None, _of(INPUT, "--limit", min=1, help="Only the first so many rows.")]
Timeout = Annotated[float | None, _number(INPUT, "--timeout", min=0, help="Seconds for one task; then it fails.")]
TaskPrompting = Annotated[
    Prompting | None,
    _of(INPUT, "--prompting", help="Continue the prompt, or answer it. Default: what a row says, else completion."),
]
Overwrite = Annotated[bool, _of(OUTPUT, "--overwrite", help="Start the output anew instead of going on with it.")]
AsJson = Annotated[bool, _of(OUTPUT, "--json", help="Print the result as JSON on stdout.")]
Judges = Annotated[
    list[str] | None,
    _of(
        TEAM,
        "--judge",
        "-j",
        metavar="BUNDLE[:KIND]",
        help="Who judges (or BUNDLE/adapters/NAME); KIND: probe, classifier or verbalizer. May be given several times.",
    ),
]


Feedback = Annotated[
    bool,
    _of(TEAM, "--feedback", help="Let the judge write feedback about each candidate; an encoder-decoder can."),
]


Precision = Annotated[
    float | None,
    _number(
        TEAM,
        "--precision",
        min=0,
        max=1,
        help="Decide by the threshold that had this precision in gavel calibrate, such as 0.95.",
    ),
]


@dataclass
class TasksInput:
    """Where tasks come from: a file of rows, or the command line."""

    tasks: Annotated[
        Path | None, typer.Argument(metavar="TASKS.jsonl", help="Rows with task_id, prompt, language, …")
    ] = None
    task: Annotated[
        str | None,
        _of(
            INPUT,
            "--task",
            metavar="TEXT|FILE",
            help="One task instead: an instruction in words, or a file with the beginning of a program.",
        ),
    ] = None
    language: Annotated[Language | None, _of(INPUT, "--language", help="Language of a task that names none.")] = None
    prompting: TaskPrompting = None
    limit: Limit = None
    timeout: Timeout = None


@dataclass
class RowsInput:
    """A file of rows with candidates."""

    rows: Rows
    prompting: TaskPrompting = None
    limit: Limit = None
    timeout: Timeout = None


@dataclass
class FileOutput:
    output: Annotated[Path, _of(OUTPUT, "--output", "-o", metavar="OUT.jsonl", help="Where rows go.")]
    overwrite: Overwrite = False
    as_json: AsJson = False


@dataclass
class OptionalOutput:
    output: Annotated[
        Path | None,
        _of(OUTPUT, "--output", "-o", metavar="OUT.jsonl", help="Where rows go; only --task can do without."),
    ] = None
    overwrite: Overwrite = False
    as_json: AsJson = False


@dataclass
class Scoring:
    """How the judges' verdicts become one score, or the file that says it and who they are."""

    aggregation: Annotated[
        Aggregation | None,
        _of(TEAM, "--aggregation", help="How verdicts become one score. Default: mean_probability."),
    ] = None
    weight: Annotated[
        list[float] | None, _number(TEAM, "--weight", min=0, help="A judge's weight, once for each judge in order.")
    ] = None
    team: Annotated[
        Path | None,
        _of(
            TEAM,
            "--team",
            metavar="NAME.team.json",
            help="A file of gavel team fit, which brings its generator, judges and weights.",
        ),
    ] = None

    def options(self) -> dict[str, Any]:
        name: AggregationName = (self.aggregation or Aggregation.mean_probability).value
        return {"aggregation": name, "weights": self.weight or []}


@dataclass
class Sampling:
    """How candidates are written; field names are GenerateOptions'."""

    candidates: Annotated[int, _of(SAMPLING, "--candidates", "-n", min=1, max=1024, help="For each task.")] = 10
    max_tokens: Annotated[int, _of(SAMPLING, "--max-tokens", min=1, help="Of each candidate.")] = 256
    temperature: Annotated[float, _number(SAMPLING, "--temperature", min=0, help="0 is greedy.")] = 0.8
    top_k: Annotated[int, _of(SAMPLING, "--top-k", min=0, help="Keep the k likeliest tokens; 0: all.")] = 0
    top_p: Annotated[float, _number(SAMPLING, "--top-p", min=0, max=1, help="Keep this probability mass; 1: all.")] = (
        0.95
    )
    min_p: Annotated[
        float, _number(SAMPLING, "--min-p", min=0, max=1, help="Drop tokens below this share of the likeliest.")
    ] = 0.0
    repetition_penalty: Annotated[
        float, _number(SAMPLING, "--repetition-penalty", min=0, help="On tokens seen; 1: off.")
    ] = 1.0
    presence_penalty: Annotated[
        float, _number(SAMPLING, "--presence-penalty", min=-2, max=2, help="On tokens of the candidate; 0: off.")
    ] = 0.0
    seed: Annotated[int, _of(SAMPLING, "--seed", min=0, help="Same seed, same candidates.")] = 0
    stop: Annotated[
        list[str] | None, _of(SAMPLING, "--stop", help="A further stop string. May be given several times.")
    ] = None
    stop_tokens: Annotated[
        list[int] | None, _of(SAMPLING, "--stop-token", help="A further stop token's id. May be given several times.")
    ] = None
    language_stops: Annotated[
        bool,
        _of(
            SAMPLING,
            "--language-stops/--no-language-stops",
            help="End a completion with its function; close the types around it.",
        ),
    ] = True
    probe: Annotated[
        bool, _of(SAMPLING, "--probe/--no-probe", help="Let the bundle's probe judge while it writes.")
    ] = True
    stop_below: Annotated[
        float,
        _number(
            SAMPLING,
            "--stop-below",
            min=0,
            max=1,
            help="Stop a candidate once an early probe gives it less than this P(correct); 0: never.",
        ),
    ] = 0.0

    def options(self) -> GenerateOptions:
        given = asdict(self)
        given["stop"] = given["stop"] or []
        given["stop_tokens"] = given["stop_tokens"] or []
        if not given["stop_below"]:
            del given["stop_below"]  # unsaid where it is off, so that outputs begun before there was one go on
        return GenerateOptions(**given)
