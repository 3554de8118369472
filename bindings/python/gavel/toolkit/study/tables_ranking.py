"""The tables of the summary, of the second and third question, and of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gavel.toolkit.study.records import ALL, Record, between, chosen, distinct, largest, scope, where
from gavel.toolkit.study.tables import Cell, Column, Table, count, estimate, field, number, parameters, table


def summary(ranking: Sequence[Record]) -> Table:
    """What there was to win on each test set, and what the best way won."""
    rows = []
    for test_set, generator in distinct(ranking, "test_set", "generator"):
        records = where(ranking, test_set=test_set, generator=generator, dataset=ALL)
        several = largest(records)
        found = {record["family"]: record for record in records if record["family"] in ("generator", "greedy")}
        ends = {record["family"]: record for record in several if record["family"] in ("random", "oracle")}
        ways = [record for record in several if record["family"] not in ("random", "oracle")]
        if ways:
            best = max(ways, key=lambda record: record["pass_at_1"]["value"])
            rows.append(best | {"ends": found | ends, "ways": len(ways)})

    def end(family: str) -> Any:
        return lambda row: estimate(row["ends"][family]["pass_at_1"] if family in row["ends"] else None)

    columns: list[Column] = [
        ("test set", field("test_set")),
        ("generator", field("generator")),
        ("tasks", field("tasks", count)),
        ("generator alone", end("generator")),
        ("greedy", end("greedy")),
        ("best of", field("n", count)),
        ("oracle", end("oracle")),
        ("highest", lambda row: Cell(row["way"], f"of {row['ways']} ways", number=False)),
        ("its pass@1", field("pass_at_1", estimate)),
        ("gain over the generator", field("relative_gain", estimate, "+.1%")),
        ("share won", field("won", estimate)),
    ]
    note = "The highest of many, named after the result was seen, is flattered by chance: see all of them below."
    return table("pass@1 in short", columns, rows, "ranking.csv", note)


def ways(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    """pass@1 at every number of candidates, and what it means at the largest."""
    several = chosen(records)
    sizes = sorted({record["n"] for record in several})
    found = {(record["way"], record["n"]): record for record in several}
    single = [record for record in records if record["family"] in ("generator", "greedy")]
    rows = [*single, *largest(records)]

    def at(size: int) -> Any:
        return lambda row: estimate(found[row["way"], size]["pass_at_1"] if (row["way"], size) in found else None)

    columns: list[Column] = [
        ("chosen by", field("way")),
        ("of family", field("family")),
        ("one answer", lambda row: estimate(row["pass_at_1"] if row in single else None)),
        *((f"best of {size}", at(size)) for size in sizes),
        ("sd over draws", field("sd", number)),
        ("over random", field("over_random", estimate, "+.3f")),
        ("gain over the generator", field("relative_gain", estimate, "+.1%")),
        ("share won", field("won", estimate)),
    ]
    last = f"The columns after “best of {sizes[-1]}” are of {sizes[-1]} candidates. " if sizes else ""
    note = f"{last}Share won: of the distance from random to oracle."
    return table(f"pass@1: {scope(test_set, generator)}, {_tasks(records)} tasks", columns, rows, "ranking.csv", note)


def by_dataset(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    """pass@1 and the share won on each data set, at the largest number of candidates."""
    most = largest(records)
    columns: list[Column] = [("chosen by", field("way"))]
    for (dataset,) in distinct(most, "dataset"):
        found = {record["way"]: record for record in where(most, dataset=dataset)}
        columns += [
            (f"{dataset} ({_tasks(list(found.values()))} tasks)", _of(found, "pass_at_1")),
            (f"{dataset}: share won", _of(found, "won")),
        ]
    rows = list({record["way"]: record for record in reversed(most)}.values())[::-1]
    title = f"pass@1 by data set, best of {most[0]['n']}: {scope(test_set, generator)}"
    return table(title, columns, rows, "ranking.csv")


def _of(found: dict[str, Record], name: str) -> Any:
    return lambda row: estimate(found[row["way"]][name] if row["way"] in found else None)


def _tasks(records: Sequence[Record]) -> int:
    return max(record["tasks"] for record in records)


def costs(test_set: str, records: Sequence[Record]) -> Table:
    columns: list[Column] = [
        ("name", field("name")),
        ("what it is", field("kind")),
        ("generator", field("generator")),
        ("candidates", field("candidates", count)),
        ("tasks", field("tasks", count)),
        ("pass@1", field("pass_at_1", estimate)),
        ("parameters", field("parameters", parameters)),
        ("memory, GB", lambda row: number(row["memory_bytes"] and row["memory_bytes"] / 1e9, ".2f")),
        ("seconds a task", field("seconds", number, ".3g")),
        ("joules a task", field("joules", number, ".3g")),
        ("$ for 1,000 tasks", lambda row: number(row["usd"] and row["usd"] * 1000, ".3g")),
    ]
    note = "– where a member’s figure is not known."
    return table(f"pass@1 and what it costs: {test_set}", columns, records, "costs.csv", note)


def larger(records: Sequence[Record]) -> Table:
    columns: list[Column] = [
        ("test set", field("test_set")),
        ("model", field("model")),
        ("parameters", field("parameters", parameters)),
        ("tasks", field("tasks", count)),
        ("pass@1", field("pass_at_1", estimate)),
    ]
    return table("Larger models, one greedy answer", columns, records, "larger.csv")


def comparisons(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    columns: list[Column] = [
        ("first", field("first")),
        ("second", field("second")),
        ("tasks", field("tasks", count)),
        ("both", field("both", count)),
        ("first only", field("first_only", count)),
        ("second only", field("second_only", count)),
        ("neither", field("neither", count)),
        ("odds ratio", _odds_ratio),
        ("p", field("p", _p)),
        ("p adjusted", field("p_adjusted", _p)),
        ("difference in pass@1", field("difference", estimate, "+.3f")),
    ]
    title = f"{scope(test_set, generator)}, best of {between(record['n'] for record in records)}"
    return table(title, columns, records, "comparisons.csv")


def _odds_ratio(row: Record) -> Cell:
    if row["first_only"] == row["second_only"] == 0:
        return number(None)
    ratio = {name: "∞" if value is None else f"{value:.2f}" for name, value in row["odds_ratio"].items()}
    return Cell(ratio["value"], f"{ratio['low']} to {ratio['high']}")


def _p(value: float) -> Cell:
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}")
