"""What the report shows of an analysis, in the order of the paper (Crupi, Tufano and Bavota, arXiv 2602.11911). What
there is nothing of is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gavel.toolkit.study import plots_judging, plots_ranking, tables_judging, tables_ranking
from gavel.toolkit.study.plots import Plot
from gavel.toolkit.study.records import ALL, Record, chosen, distinct, largest, where
from gavel.toolkit.study.tables import Table


@dataclass(frozen=True)
class Section:
    title: str
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Chapter:
    anchor: str
    title: str
    sections: list[Section]
    note: str = ""


def chapters(analysis: dict[str, Any]) -> list[Chapter]:
    made = [_summary(analysis), _studied(analysis), _judging(analysis), _ranking(analysis), _larger(analysis)]
    whole = [*made, _tests(analysis)]
    full = [
        Chapter(one.anchor, one.title, [part for part in one.sections if part.plots or part.tables], one.note)
        for one in whole
    ]
    return [chapter for chapter in full if chapter.sections]


def _summary(analysis: dict[str, Any]) -> Chapter:
    table = tables_ranking.summary(analysis.get("ranking") or [])
    return Chapter("summary", "In short", [Section("", tables=[table] if table.rows else [])])


def _studied(analysis: dict[str, Any]) -> Chapter:
    found = {name: analysis.get(name) or [] for name in ("generators", "judges", "teams")}
    makers = {"judges": tables_judging.judges, "teams": tables_judging.teams}
    sections = [
        Section(
            "Tasks and candidates", tables=[one for one in tables_judging.generators(found["generators"]) if one.rows]
        ),
        Section("Judges and teams", tables=[make(found[name]) for name, make in makers.items() if found[name]]),
    ]
    return Chapter("studied", "What was studied", sections)


def _judging(analysis: dict[str, Any]) -> Chapter:
    judging = analysis.get("judging") or []
    every = where(judging, dataset=ALL, subset=ALL)
    alone = _by_scope([record for record in every if record["generator"] != ALL])
    with_compiled = [
        (test_set, generator, records)
        for test_set, generator, records in _by_scope(where(judging, dataset=ALL))
        if generator != ALL and where(records, subset="compiled")
    ]
    shared = [
        (test_set, where(every, test_set=test_set))
        for (test_set,) in distinct(every, "test_set")
        if len(distinct(where(every, test_set=test_set), "generator")) > 1
    ]
    split = [record for record in where(judging, subset=ALL) if record["dataset"] != ALL and record["generator"] != ALL]
    entries = analysis.get("judges") or []
    sections = [
        Section(
            "Figures of merit",
            tables=[tables_judging.merits(*one) for one in _by_scope(every)],
            note="Below a figure: its 95 % interval. ECE: expected calibration error.",
        ),
        Section(
            "Rivals, teams and combinations",
            tables=[
                tables_judging.ways(*one) for one in _by_scope(where(analysis.get("way_auroc") or [], dataset=ALL))
            ],
        ),
        Section("Confusion matrices", [plots_judging.confusion(*one) for one in alone]),
        Section("Precision by confidence", [plots_judging.precision(*one) for one in alone]),
        Section("Calibration", [plots_judging.calibration(*one) for one in alone]),
        Section(
            "Among candidates that compile",
            [plots_judging.compiled(*one) for one in with_compiled],
            [tables_judging.compiled(*one) for one in with_compiled],
        ),
        Section(
            "By generator",
            [plots_judging.generators(*one) for one in shared],
            [tables_judging.by_generator(*one, entries) for one in shared],
        ),
        Section("By data set", tables=[tables_judging.by_dataset(*one) for one in _by_scope(split)]),
    ]
    return Chapter("judging", "RQ1: Can judges tell correct candidates from wrong ones?", sections)


def _ranking(analysis: dict[str, Any]) -> Chapter:
    ranking = analysis.get("ranking") or []
    scopes = [one for one in _by_scope(where(ranking, dataset=ALL)) if largest(one[2])]
    split = _by_scope([record for record in chosen(ranking) if record["dataset"] != ALL])
    panels = {"judges and teams": ("judge", "team"), "rivals and combinations": ("rival", "combination")}
    sections = [
        Section(
            "pass@1 by number of candidates",
            [
                plots_ranking.by_number(*one, families, name)
                for one in scopes
                for name, families in panels.items()
                if any(record["family"] in families for record in one[2])
            ],
        ),
        Section(
            "Every way to choose",
            [plots_ranking.ways(*one) for one in scopes],
            [tables_ranking.ways(*one) for one in scopes],
        ),
        Section(
            "What is won of what can be won",
            [
                plots_ranking.won(*one)
                for one in scopes
                if any(record["won"] for record in one[2] if record["family"] not in ("random", "oracle"))
            ],
        ),
        Section("By data set", tables=[tables_ranking.by_dataset(*one) for one in split]),
        Section("Cascade", [plots_ranking.cascade(*one) for one in _by_scope(analysis.get("cascade") or [])]),
    ]
    return Chapter("ranking", "RQ2: How much does choosing win?", sections)


def _larger(analysis: dict[str, Any]) -> Chapter:
    costs, larger = analysis.get("costs") or [], analysis.get("larger") or []
    priced = []
    for test_set, generator in distinct(costs, "test_set", "generator"):
        # Of larger models alone there is nothing to compare.
        if generator is not None and plots_ranking.measures(where(costs, test_set=test_set, generator=generator)):
            records = [one for one in where(costs, test_set=test_set) if one["generator"] in (generator, None)]
            priced.append((test_set, generator, records))
    sections = [
        Section("Larger models", tables=[tables_ranking.larger(larger)] if larger else []),
        Section(
            "pass@1 and what it costs",
            [plots_ranking.cost(*one) for one in priced],
            [tables_ranking.costs(name, where(costs, test_set=name)) for (name,) in distinct(costs, "test_set")],
        ),
    ]
    return Chapter("larger", "RQ3: Against larger generators, and at what cost?", sections)


def _tests(analysis: dict[str, Any]) -> Chapter:
    comparisons = analysis.get("comparisons") or []
    asked = [(one, where(comparisons, question=one["id"])) for one in analysis.get("questions") or []]
    sections = [
        Section(question["text"], tables=[tables_ranking.comparisons(*one) for one in _by_scope(records)])
        for question, records in asked
        if records
    ]
    note = (
        "Exact McNemar tests on the tasks that one of two ways solves and the other does not. Odds ratio: tasks that "
        "only the first solves over tasks that only the second solves, with its exact 95 % interval. Adjusted: "
        "Benjamini and Hochberg, over the comparisons of a question on a test set."
    )
    return Chapter("tests", "Tests", sections, note)


def _by_scope(records: Sequence[Record]) -> list[tuple[str, str, list[Record]]]:
    return [
        (test_set, generator, where(records, test_set=test_set, generator=generator))
        for test_set, generator in distinct(records, "test_set", "generator")
    ]
