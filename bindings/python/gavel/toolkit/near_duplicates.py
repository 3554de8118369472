"""Tasks that say nearly the same, or whose reference solutions do: exact Jaccard similarity of all pairs.

Descriptions are compared by their pairs of neighbouring words, without examples. Solutions of one language are compared
by identifiers and literals as Allamanis does (arXiv 1812.06469): sets at 0.8, multisets at 0.7, from 20 on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row

DESCRIPTION = 0.7
CODE_SET, CODE_MULTISET, CODE_TOKENS = 0.8, 0.7, 20
EXAMPLES = re.compile(r"^[\s*/]*(?:>|for example\b|examples?\b)", re.MULTILINE | re.IGNORECASE)
LANGUAGE_WORDS = {"java", "python", "javascript", "cpp"}


@dataclass(frozen=True)
class NearDuplicate:
    """``task`` resembles ``of`` in its ``by`` (description or solution), as much as ``similarity`` (0 to 1) says."""

    task: str
    of: str
    by: str
    similarity: float


def near_duplicates(rows: Sequence[Row], others: Sequence[Row]) -> list[NearDuplicate]:
    """For each of ``rows`` that resembles one of ``others`` the one that it resembles most, in order."""
    found: dict[str, NearDuplicate] = {}
    for by, compare in (("description", _by_description), ("solution", _by_solution)):
        for at, other, similarity in compare(rows, others):
            task = datasets.task_id(rows[at])
            if task not in found or similarity > found[task].similarity:
                found[task] = NearDuplicate(task, datasets.task_id(others[other]), by, round(similarity, 4))
    return [found[task] for row in rows if (task := datasets.task_id(row)) in found]


Pairs = list[tuple[int, int, float]]


def description(row: Row) -> str:
    """A task in words, without its examples: as its file says, else the comments of its prompt."""
    text = str(row.get("description") or "")
    if not text:
        prompt = datasets.prompt(row)
        comments = re.findall(r"/\*.*?\*/|\"\"\".*?\"\"\"|'''.*?'''|//[^\n]*|#[^\n]*", prompt, re.DOTALL)
        text = "\n".join(comments) or prompt
    at = EXAMPLES.search(text)
    return text[: at.start()] if at and text[: at.start()].strip() else text


def _words(text: str) -> list[str]:
    words = [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in LANGUAGE_WORDS]
    return [" ".join(pair) for pair in pairwise(words)] or words


def _identifiers(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _by_description(rows: Sequence[Row], others: Sequence[Row]) -> Pairs:
    similar = _jaccard([description(row) for row in rows], [description(row) for row in others], _words, sets=True)
    return _pairs(similar, similar >= DESCRIPTION)


def _by_solution(rows: Sequence[Row], others: Sequence[Row]) -> Pairs:
    pairs: Pairs = []
    for language in {datasets.language(row) for row in rows}:
        here, there = (
            [
                at
                for at, row in enumerate(side)
                if datasets.language(row) == language
                and len(_identifiers(str(row.get("canonical_solution") or ""))) >= CODE_TOKENS
            ]
            for side in (rows, others)
        )
        if not here or not there:
            continue
        texts = (
            [str(rows[at]["canonical_solution"]) for at in here],
            [str(others[at]["canonical_solution"]) for at in there],
        )
        sets, multisets = (_jaccard(*texts, _identifiers, sets=kind) for kind in (True, False))
        close = (sets >= CODE_SET) & (multisets >= CODE_MULTISET)
        pairs += [(here[at], there[other], value) for at, other, value in _pairs(multisets, close)]
    return pairs


def _pairs(values: np.ndarray, close: np.ndarray) -> Pairs:
    return [(int(at), int(other), float(values[at, other])) for at, other in zip(*np.nonzero(close), strict=True)]


def _jaccard(
    rows: Sequence[str], others: Sequence[str], analyze: Callable[[str], list[str]], *, sets: bool
) -> np.ndarray:
    """[rows, others] similarities: common over joint counts, each counted once where they are ``sets``."""
    vectorizer = CountVectorizer(analyzer=analyze, binary=sets)
    if not any(analyze(text) for text in (*rows, *others)):
        return np.zeros((len(rows), len(others)))
    vectorizer.fit([*rows, *others])
    left, right = (csr_matrix(vectorizer.transform(side)) for side in (rows, others))
    if sets:
        common = (left @ right.T).toarray()
    else:
        common = np.stack([np.asarray(right.minimum(_repeated(line, len(others))).sum(1)).ravel() for line in left])
    joint = np.asarray(left.sum(1)) + np.asarray(right.sum(1)).T - common
    return np.divide(common, joint, out=np.zeros(common.shape), where=joint > 0)


def _repeated(line: csr_matrix, times: int) -> csr_matrix:
    return csr_matrix(np.ones((times, 1), dtype=line.dtype)) @ line
