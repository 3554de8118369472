"""What the reference implementation says of a few prompts: a bundle that answers otherwise is refused."""

from __future__ import annotations

import math
from typing import Any

import torch

from .prompts import Segments, encode_shared
from .reference import Reference
from .text import Text

# Largest difference from the reference that passes, at least: of a logit, and of a judge's probability. The reference
# rounds as the precision does. What is left is the order of sums and, in the narrow precisions, the roundings it tips
# over, which grow from layer to layer by an amount that is the model's own: there it is measured, by disturbing every
# product as little as another order of sums might.
LOGIT_TOLERANCE = {"fp32": 1e-3, "bf16": 0.25, "fp16": 0.05, "int8": 0.5}
PROBABILITY_TOLERANCE = {"fp32": 1e-4, "bf16": 0.02, "fp16": 0.01, "int8": 0.05}
DISTURBED_RUNS, MARGIN = 3, 3.0

PROMPTS = (
    "def add(a, b):\n    return",
    "To sort a list of numbers means to put them in order, so that",
    "import java.util.*;\n\nclass Solution {\n    /** Returns the largest of the given numbers. */\n"
    "    public static int largest(List<Integer> numbers) {\n",
    "from typing import List\n\n\ndef running_total(values: List[int]) -> List[int]:\n"
    '    """Return the sums of the first one, two, … and all values.\n\n'
    "    >>> running_total([1, 2, 3])\n    [1, 3, 6]\n    >>> running_total([])\n    []\n"
    '    """\n    total = 0\n    result = []\n    for value in values:\n        total += value\n',
)
JUDGED = {
    "prompt": 'def larger(a, b):\n    """Return the larger of two numbers."""\n',
    "language": "python",
    "code": "    return a if a > b else b\n",
}
SPOKEN = JUDGED | {"language": "Python"}  # as the prompt's slot has it
TOP = 8


def judge_logit(logits: torch.Tensor, judge: dict[str, Any], head: dict[str, Any]) -> float:
    """The judge's log-odds from the logits after its prompt."""
    if judge["type"] == "verbalizer":
        return float(logits[judge["positive"]].logsumexp(0) - logits[judge["negative"]].logsumexp(0))
    positive = head["positive"]
    if logits.numel() == 1:
        return float(logits[0])
    others = torch.cat([logits[:positive], logits[positive + 1 :]])
    return float(logits[positive] - others.logsumexp(0))


def probability(logit: float) -> float:
    """P(correct) before calibration, which a bundle may be given later."""
    return 1 / (1 + math.exp(-logit))


def self_test(
    reference: Reference,
    tokens: Text,
    prompts: dict[str, Segments],
    head: dict[str, Any],
    judge: dict[str, Any] | None,
    precision: str,
) -> list[dict[str, Any]]:
    """The manifest's self-test. `ids` are those of `prompt` as plain text."""
    asked = [tokens.encode(prompt) for prompt in PROMPTS]
    if judge:
        asked.append(encode_shared(prompts["judge"], SPOKEN, "code", tokens))
    # [1 + runs][prompts][columns]; the first run is the undisturbed one, in fp32 the only one
    runs = reference.logits(asked, DISTURBED_RUNS).unflatten(0, (-1, len(asked)))
    cases: list[dict[str, Any]] = []
    for i, prompt in enumerate(PROMPTS):
        top = runs[0, i].topk(min(TOP, runs.shape[2]))
        off = (runs[1:, i, top.indices] - top.values).abs()
        cases.append(
            {
                "prompt": prompt,
                "ids": asked[i],
                "logits": {"ids": top.indices.tolist(), "values": top.values.tolist()},
                "tolerance": max([LOGIT_TOLERANCE[precision], *(MARGIN * off).flatten().tolist()]),
                "judge": None,
            }
        )
    if judge:
        p, *others = [probability(judge_logit(run[-1], judge, head)) for run in runs]
        tolerance = max([PROBABILITY_TOLERANCE[precision], *(MARGIN * abs(other - p) for other in others)])
        cases[0]["judge"] = JUDGED | {"p_correct": p, "tolerance": tolerance}
    return cases
