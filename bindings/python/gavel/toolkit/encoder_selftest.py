"""What transformers says of a few texts: an encoder's bundle that answers otherwise is refused."""

from __future__ import annotations

from typing import Any

from .encoder_reference import EncoderReference, Logits
from .prompts import Segments, encode
from .selftest import (
    JUDGED,
    LOGIT_TOLERANCE,
    MARGIN,
    PROBABILITY_TOLERANCE,
    PROMPTS,
    SPOKEN,
    TOP,
    judge_logit,
    probability,
)
from .text import Text


def expected(reference: EncoderReference, run: Logits, ids: list[int], least: float) -> tuple[dict[str, Any], float]:
    """The largest logits and where they stand, and how far a bundle may be from them."""
    all_of_them = run(ids)
    top = all_of_them.topk(min(TOP, all_of_them.numel()))
    off = [float((other[top.indices] - top.values).abs().max()) for other in reference.disturbed(run, ids)]
    tolerance = max([least, *(MARGIN * value for value in off)])
    return {"ids": top.indices.tolist(), "values": top.values.tolist()}, tolerance


def self_test(
    reference: EncoderReference,
    tokens: Text,
    prompts: dict[str, Segments],
    head: dict[str, Any],
    judge: dict[str, Any],
    precision: str,
) -> list[dict[str, Any]]:
    """The manifest's self-test. `ids` are those of `prompt` as plain text, without special tokens; `logits` are the
    labels', `written` the vocabulary's for the first token a decoder writes."""
    least = LOGIT_TOLERANCE[precision]
    cases: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        ids = tokens.encode(prompt)
        if len(ids) > reference.config.context:
            continue
        logits, tolerance = expected(reference, reference.logits, ids, least)
        case = {"prompt": prompt, "ids": ids, "logits": logits, "tolerance": tolerance, "judge": None}
        if reference.config.writes:
            case["written"], tolerance = expected(reference, reference.first_written, ids, least)
            case["tolerance"] = max(case["tolerance"], tolerance)
        cases.append(case)
    ids = encode(prompts["judge"], SPOKEN, tokens)
    p = probability(judge_logit(reference.logits(ids), judge, head))
    off = [abs(probability(judge_logit(run, judge, head)) - p) for run in reference.disturbed(reference.logits, ids)]
    tolerance = max([PROBABILITY_TOLERANCE[precision], *(MARGIN * value for value in off)])
    cases[0]["judge"] = JUDGED | {"p_correct": p, "tolerance": tolerance}
    return cases
