"""Every record of a study's analysis as CSV: one file for each kind, with the numbers as the JSON has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from gavel.toolkit.study.records import Record

KINDS = (
    "generators",
    "judges",
    "teams",
    "judging",
    "way_auroc",
    "ranking",
    "cascade",
    "larger",
    "costs",
    "comparisons",
)
IDENTITY = ("test_set", "generator", "dataset", "subset", "judge")


def csv_files(analysis: dict[str, Any]) -> dict[str, bytes]:
    """Contents by file name; what the study has none of has no file.

    A field within a field is named with both names (``accuracy_low``; an estimate's value alone with that of the
    estimate), a null is an empty cell. What a record holds several of (the thresholds and bins of a judge, the points
    of a cascade) has a line each."""
    tables = {kind: [_flat(record) for record in analysis.get(kind) or []] for kind in KINDS}
    judging = analysis.get("judging") or []
    tables["judging"] = [_flat(_without(record, "confidence", "reliability")) for record in judging]
    tables["confidence"] = [line for record in judging for line in _confidence(record)]
    tables["reliability"] = [_identity(record) | one for record in judging for one in record["reliability"]]
    tables["cascade"] = [
        _flat(_without(record, "points") | point)
        for record in analysis.get("cascade") or []
        for point in record["points"]
    ]
    return {f"{kind}.csv": _written(lines) for kind, lines in tables.items() if lines}


def _confidence(record: Record) -> Iterable[Record]:
    confidence = record["confidence"]
    for verdict in ("correct", "wrong"):
        found = confidence[verdict]
        columns = confidence["thresholds"], found["selected"], found["right"], found["precision"]
        for threshold, selected, right, precision in zip(*columns, strict=True):
            said = {"threshold": threshold, "selected": selected, "right": right, "precision": precision}
            yield _identity(record) | {"verdict": verdict} | said


def _identity(record: Record) -> Record:
    return {name: record[name] for name in IDENTITY}


def _without(record: Record, *names: str) -> Record:
    return {name: value for name, value in record.items() if name not in names}


def _flat(record: Record, prefix: str = "") -> Record:
    flat: Record = {}
    for name, value in record.items():
        column = prefix.removesuffix("_") if name == "value" and prefix else prefix + name
        if isinstance(value, dict):
            flat |= _flat(value, f"{column}_")
        else:
            flat[column] = "; ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def _written(lines: list[Record]) -> bytes:
    text = io.StringIO()
    # Records differ in what they have: statuses, sizes of pools, an interval or none. The fullest give the order.
    columns = dict.fromkeys(column for line in sorted(lines, key=len, reverse=True) for column in line)
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()
