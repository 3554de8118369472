"""What is run to label a candidate: the candidate made whole, its task's test, and where each line came from."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)

FENCE_LINE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
CODE_BEFORE = re.compile(r"[;{}=]|^[ \t]+\S", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """Two texts that are compiled apart, so that a candidate cannot swallow its test with an open comment."""

    source: str
    test: str
    before: int = 0  # lines of `source` that stand before the candidate's first line
    skipped: int = 0  # lines of the candidate's text that were left out before that line (prose, a fence)

    def candidate_line(self, line: int) -> int | None:
        """Line 1, 2, ... of the candidate's text for a line of ``source``; None where it is the prompt's."""
        return line - self.before + self.skipped if line > self.before else None

    def line_text(self, line: int, *, of_test: bool) -> str:
        lines = (self.test if of_test else self.source).splitlines()
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def unfenced(text: str, languages: tuple[str, ...]) -> tuple[str, int]:
    """The code of an answer in Markdown, and how many lines stood before it; a text without a fence is all code.

    Of several blocks it is the longest that names one of ``languages``, else the longest. A closing fence without
    an opening one ends the code.
    """
    blocks = list(FENCE.finditer(text))
    if not blocks:
        return text, 0
    before, first = text[: blocks[0].start()], blocks[0]
    if len(FENCE_LINE.findall(text)) % 2 and not first.group(2) and CODE_BEFORE.search(before):
        return before, 0
    named = [block for block in blocks if block.group(2).lower() in languages] or blocks
    best = max(named, key=lambda block: len(block.group(3)))
    return best.group(3), text.count("\n", 0, best.start(3))
