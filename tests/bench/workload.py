"""What every engine is asked to do, as texts and as the token ids they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

PROMPT, CANDIDATES, TOKENS = 256, 10, 128
SHARED, CODE = 300, 128
# Every engine draws at this temperature. Gavel's default filter (top_p 0.95 of the whole vocabulary) is its own; a peer
# keeps the 50 likeliest first, which is cheaper for all of them.
TEMPERATURE, TOP_P, PEER_TOP_K = 0.8, 0.95, 50

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Workload:
    """Ten candidates after a prompt, then a verdict on each of ten codes after a shared prompt."""

    prompt: str
    prompt_ids: list[int]
    shared: str
    shared_ids: list[int]
    codes: list[str]
    code_ids: list[list[int]]
    verdict: list[int]
    """The two vocabulary rows a verdict is read from: correct, wrong."""
    tokens: int
    """To be sampled per candidate."""

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Workload:
        return cls(**json.loads(path.read_text()))


def make(encode: Encode, tokens: int = TOKENS) -> Workload:
    """The workload in a model's tokens, of exactly the lengths above."""
    prompt = fitted(encode, source(0), PROMPT)
    shared = fitted(encode, source(1), SHARED)
    codes = [fitted(encode, source(2 + i), CODE) for i in range(CANDIDATES)]
    verdict = [encode(word)[0] for word in ("yes", "no")]
    return Workload(prompt, encode(prompt), shared, encode(shared), codes, [encode(c) for c in codes], verdict, tokens)


def source(number: int) -> str:
    """Code of no particular meaning, long enough to cut from."""
    nouns = ("count", "total", "limit", "width", "price", "score", "index", "depth")
    parts = []
    for i in range(24):
        a, b = nouns[(number + i) % 8], nouns[(3 * number + 5 * i + 1) % 8]
        parts.append(
            f"def {a}_of_{b}_{number + i}(values: list[int], {b}: int = {7 * i + number}) -> int:\n"
            f'    """The {a} of all values above the {b}."""\n'
            f"    result = {i}\n    for value in values:\n        if value > {b}:\n"
            f"            result += value * {number + 2}\n    return result\n\n\n"
        )
    return "".join(parts)


def fitted(encode: Encode, text: str, count: int) -> str:
    """The shortest beginning of `text` that has exactly `count` tokens."""
    low, high = 0, len(text)
    while high - low > 32:  # token counts grow with length but for a few characters' ripple
        middle = (low + high) // 2
        low, high = (middle, high) if len(encode(text[:middle])) < count else (low, middle)
    for end in range(max(0, low - 64), min(len(text), high + 64)):
        if len(encode(text[:end])) == count:
            return text[:end]
    raise ValueError(f"no beginning of the text has exactly {count} tokens")
