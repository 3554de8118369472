"""A candidate's execution as RankEF (Sun et al., arXiv 2408.13976) trains on it: a label of three, and words."""

from __future__ import annotations

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError

LABELS = ("correct", "execution error", "intent error")
OF_STATUS = {
    "pass": 0,
    "exception": 1,
    "compile_error": 1,
    "timeout": 1,
    "out_of_memory": 1,
    "wrong": 2,
}


def label_of(row: Row, position: int) -> int:
    """The number of a labelled candidate's label: code that does not run to its end is an execution error, code that
    does and answers wrongly an intent error."""
    status = row["candidates"][position].get("status")
    if status not in OF_STATUS:
        raise ToolkitError(
            f"task {datasets.task_id(row)}: candidate {position} has status {status!r}, which is none of "
            f"{', '.join(OF_STATUS)}; run gavel label, which notes it"
        )
    return OF_STATUS[status]


def words_of(row: Row, position: int) -> str:
    """What the judge learns to say of a labelled candidate."""
    label = label_of(row, position)
    if label == 0:
        return "The code is correct."
    said = row["candidates"][position].get("feedback") or {}
    what = ": ".join(str(said[name]).strip() for name in ("kind", "message") if said.get(name))
    if label == 2:
        return f"The code runs but does not do what is asked. {what}".rstrip()
    line, text = said.get("line"), str(said.get("text") or "").strip()
    where = f" in line {line}" if line else ""
    return f"The code fails{where}{': ' if text else ''}{text}\n{what}".rstrip()
