"""Gavel: a team of small language models that writes ten programs and picks the best.

>>> import gavel
>>> model = gavel.Model.open("qwen2.5-coder-0.5b-instruct-int8.gavel")
>>> team = gavel.Ranker(generator=gavel.Generator(model), judges=[gavel.Judge(model)])
>>> ranking = team.solve(gavel.Task(prompt="def add(a, b):\\n", language="python"), candidates=10)
>>> print(ranking.best.candidate.text, ranking.reason)
"""

from gavel._version import __version__
from gavel.cancel import Cancel
from gavel.dedup import normal_form
from gavel.errors import (
    Cancelled,
    CorruptBundle,
    DeviceError,
    GavelError,
    InternalError,
    InvalidArgument,
    IOFailure,
    NotFound,
    OutOfMemory,
    Unsupported,
)
from gavel.generator import GenerateOptions, Generation, Generator, StreamEvent
from gavel.judge import AnyJudge, Judge, OperatingPoint, tap, tap_tokens
from gavel.model import MemoryEstimate, Model
from gavel.ranker import Ranked, Ranker, Ranking, RankOptions, Stacking
from gavel.task import Candidate, GenerateStats, JudgeInfo, Task, Verdict
from gavel.tokenizer import Tokenizer

__all__ = [
    "AnyJudge",
    "Cancel",
    "Cancelled",
    "Candidate",
    "CorruptBundle",
    "DeviceError",
    "GavelError",
    "GenerateOptions",
    "GenerateStats",
    "Generation",
    "Generator",
    "IOFailure",
    "InternalError",
    "InvalidArgument",
    "Judge",
    "JudgeInfo",
    "MemoryEstimate",
    "Model",
    "NotFound",
    "OperatingPoint",
    "OutOfMemory",
    "RankOptions",
    "Ranked",
    "Ranker",
    "Ranking",
    "Stacking",
    "StreamEvent",
    "Task",
    "Tokenizer",
    "Unsupported",
    "Verdict",
    "__version__",
    "normal_form",
    "tap",
    "tap_tokens",
]
