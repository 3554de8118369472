"""The tables of what was studied and of the first question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gavel.toolkit.study.records import ALL, Record, between, distinct, scope, where
from gavel.toolkit.study.tables import (
    Cell,
    Column,
    Table,
    count,
    estimate,
    field,
    number,
    parameters,
    share,
    table,
    text,
)

WHO: Column = ("judge", field("judge"))
LEFT_TO_CSV = ("2", "3")  # pass@k of these, so that the table fits the page


def generators(records: Sequence[Record]) -> list[Table]:
    """Tasks and candidates, and how they ended."""
    sizes = dict.fromkeys(size for record in records for size in record["pass_at_k"] if size not in LEFT_TO_CSV)
    statuses = dict.fromkeys(status for record in records for status in record["statuses"] or {})
    who: list[Column] = [("test set", field("test_set")), ("generator", field("generator")), ("tasks of", _dataset)]
    columns: list[Column] = [
        *who,
        ("tasks", field("tasks", count)),
        ("candidates", lambda record: Cell(f"{record['candidates']:,}", f"{between(record['pool'].values())} a task")),
        ("left out", lambda record: count(record["left_out"] or None)),
        ("correct", lambda record: share(record["correct"], record["candidates"])),
        ("compile", lambda record: share(record["compiled"], record["candidates"])),
        ("solvable tasks", lambda record: share(record["solvable"], record["tasks"])),
        *((f"pass@{size}", _pass_at(size)) for size in sizes),
        ("greedy pass@1", lambda record: estimate(record["greedy"] and record["greedy"]["pass_at_1"])),
    ]
    note = "Left out are candidates whose outcome is not known. Solvable: with at least one correct candidate."
    tables = [table("By test set, generator and data set", columns, records, "generators.csv", note)]
    counted = [record for record in records if record["statuses"]]
    if counted:
        ends: list[Column] = [(status.replace("_", " "), _status(status)) for status in statuses]
        tables.append(table("How the candidates ended", [*who, *ends], counted, "generators.csv"))
    return tables


def _dataset(record: Record) -> Cell:
    return text("all data sets" if record["dataset"] == ALL else record["dataset"])


def _pass_at(size: str) -> Any:
    return lambda record: number(record["pass_at_k"].get(size))


def _status(status: str) -> Any:
    return lambda record: share(record["statuses"].get(status, 0), sum(record["statuses"].values()))


def judges(records: Sequence[Record]) -> Table:
    columns: list[Column] = [
        ("judge", field("label")),
        ("what it is", field("role")),
        ("kind", field("kind")),
        ("base", lambda record: text(record["base"] or None)),
        ("parameters", field("parameters", parameters)),
        ("trained on candidates of", field("trained_on")),
        ("threshold", field("threshold", number, ".3g")),
    ]
    return table(
        "Judges", columns, records, "judges.csv", "Threshold: from this P(correct) on the verdict is “correct”."
    )


def teams(records: Sequence[Record]) -> Table:
    columns: list[Column] = [
        ("team", field("label")),
        ("judges", lambda record: text(", ".join(record["judges"]))),
        ("how it adds up", _weights),
    ]
    return table("Teams", columns, records, "teams.csv")


def _weights(record: Record) -> Cell:
    if record["weights"] is None:
        return text("mean of P(correct)")
    said = ", ".join(f"{weight:.3g}" for weight in record["weights"])
    return text(f"log-odds times {said}; mean log-likelihood times {record['log_likelihood']:.3g}")


def merits(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    """Every figure of merit of each judge."""
    columns: list[Column] = [
        WHO,
        ("candidates", _judged),
        ("correct", lambda record: share(record["correct"], record["candidates"])),
        ("accuracy", field("accuracy", estimate)),
        ("precision", field("precision", number)),
        ("recall", field("recall", number)),
        ("kappa", field("kappa", estimate)),
        ("MCC", field("mcc", estimate)),
        ("AUROC", field("auroc", estimate)),
        ("AUROC within tasks", field("auroc_within_tasks", estimate)),
        ("Brier", field("brier", estimate)),
        ("ECE", field("ece", number)),
    ]
    tasks = max(record["tasks"] for record in records)
    return table(f"{scope(test_set, generator)}: {tasks} tasks", columns, records, "judging.csv")


def _judged(record: Record) -> Cell:
    return Cell(f"{record['candidates']:,}", f"{record['unjudged']:,} unjudged" if record["unjudged"] else "")


def compiled(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    columns = [WHO]
    for subset, words in ((ALL, "all"), ("compiled", "compile")):
        found = {record["judge"]: record for record in where(records, subset=subset)}
        columns += _beside(found, words)
    title = f"Among candidates that compile: {scope(test_set, generator)}"
    return table(title, columns, where(records, subset="compiled"), "judging.csv")


def ways(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    """AUROC of what orders candidates without being one judge: rivals, teams, combinations."""
    columns: list[Column] = [("ordered by", field("way")), ("of family", field("family"))]
    for subset, words in ((ALL, "all"), ("compiled", "compile")):
        found = {record["way"]: record for record in where(records, subset=subset)}
        columns += [
            (f"{words}: candidates", _of(found, "candidates", count)),
            (f"{words}: AUROC", _of(found, "auroc", estimate)),
            (f"{words}: within tasks", _of(found, "auroc_within_tasks", estimate)),
        ]
    title = f"AUROC of rivals, teams and combinations: {scope(test_set, generator)}"
    return table(title, columns, where(records, subset=ALL), "way_auroc.csv")


def _of(found: dict[str, Record], name: str, form: Any) -> Any:
    return lambda row: form(found[row["way"]][name] if row["way"] in found else None)


def by_generator(test_set: str, records: Sequence[Record], entries: Sequence[Record]) -> Table:
    """``entries`` are the judges of the study."""
    trained_on = {entry["label"]: entry["trained_on"] for entry in entries}
    columns: list[Column] = [WHO, ("trained on candidates of", lambda record: text(trained_on.get(record["judge"])))]
    for (generator,) in distinct(records, "generator"):
        found = {record["judge"]: record for record in where(records, generator=generator)}
        columns += _beside(found, scope(generator))
    return table(f"By generator: {test_set}", columns, _first_of_each(records), "judging.csv")


def by_dataset(test_set: str, generator: str, records: Sequence[Record]) -> Table:
    columns: list[Column] = [WHO]
    for (dataset,) in distinct(records, "dataset"):
        found = {record["judge"]: record for record in where(records, dataset=dataset)}
        columns += _beside(found, dataset)
    return table(f"By data set: {scope(test_set, generator)}", columns, _first_of_each(records), "judging.csv")


def _beside(found: dict[str, Record], words: str) -> list[Column]:
    """Candidates, AUROC and kappa of each judge under one condition."""

    def cell(name: str, form: Any) -> Any:
        return lambda record: form(found[record["judge"]][name]) if record["judge"] in found else text(None)

    return [
        (f"{words}: candidates", cell("candidates", count)),
        (f"{words}: AUROC", cell("auroc", estimate)),
        (f"{words}: kappa", cell("kappa", estimate)),
    ]


def _first_of_each(records: Sequence[Record]) -> list[Record]:
    """A record for each judge, to name the row."""
    return list({record["judge"]: record for record in reversed(records)}.values())[::-1]
