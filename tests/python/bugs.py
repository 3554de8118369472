"""Puts one bug into a program: another operator or another constant."""

from __future__ import annotations

import random
import re

# Operators and constants outside of literals and comments, and what is put in their place.
SPOT = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|(?P<operator> (?:==|!=|<=|>=|<|>|\+|-|\*|/|%|&&|\|\|) )|(?P<number>(?<![\w.])\d+(?![\w.]))",
    re.DOTALL,
)
OTHER = {
    "==": "!=", "!=": "==", "<=": ">", ">=": "<", "<": ">=", ">": "<=",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "&&": "||", "||": "&&",
}  # fmt: skip


def with_bug(code: str, seed: int) -> str | None:
    """The code with one operator or constant changed, chosen by the seed; None where it has neither."""
    spots = [found for found in SPOT.finditer(code) if found.lastgroup]
    if not spots:
        return None
    spot = random.Random(seed).choice(spots)
    text = spot.group()
    changed = str(int(text) + 1) if spot.lastgroup == "number" else f" {OTHER[text.strip()]} "
    return code[: spot.start()] + changed + code[spot.end() :]
