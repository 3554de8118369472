"""The last stages: what the others made becomes a `data.Study`, its figures, and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.bundle import sha256, to_json
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study import data, spending, study_file
from gavel.toolkit.study.analysis import analyse
from gavel.toolkit.study.facts import FACTS, parameters
from gavel.toolkit.study.judges import CALIBRATION
from gavel.toolkit.study.report import write_report
from gavel.toolkit.study.stages import RECORD, Input, Made, Work
from gavel.toolkit.study.study_file import StudyFile
from gavel.toolkit.study.teams import FITTED
from gavel.toolkit.training.train import TRAINING_FILE

ANALYSIS = "analysis.json"
TRAIN, TEST, GREEDY = "train", "test", "greedy"  # whose candidates; further test sets have names of their own


def weights_of(team: str) -> str:
    """Name of the input that has the weights of a team that was fitted."""
    return f"{team}, weights"


@dataclass(frozen=True)
class Rows:
    """Rows that stages made: a generator's labelled candidates, or with ``judge`` its verdicts on them."""

    generator: str
    what: str
    rows: Made
    facts: Made | None = None
    judge: str | None = None

    @property
    def name(self) -> str:
        return f"{self.generator}, {self.what}" + (f", judged by {self.judge}" if self.judge else "")

    def inputs(self) -> dict[str, Input]:
        facts = {} if self.facts is None else {f"{self.name}, {FACTS}": self.facts}
        return {self.name: self.rows, **facts}


def figures(study: StudyFile, made: Sequence[Rows], left_out: Sequence[str], work: Work) -> None:
    """`ANALYSIS`; ``left_out`` says in words what the study names and does not do."""
    described = Assembly(study, made, work.inputs).study()
    found = analyse(replace(described, data={**described.data, "left_out": list(left_out)}), seed=study.seed)
    datasets.write_atomically(work.folder / ANALYSIS, to_json(found))


def report(work: Work) -> None:
    write_report(json.loads(work.inputs["analysis"].read_bytes()), work.folder)


class Assembly:
    """A `data.Study` of what stages made. The study's judges say their role, and what they run on."""

    def __init__(self, study: StudyFile, made: Sequence[Rows], inputs: Mapping[str, Path]) -> None:
        self._file, self._inputs = study, inputs
        self._written = {(each.generator, each.what): each for each in made if each.judge is None}
        self._judged = [each for each in made if each.judge is not None]

    def study(self) -> data.Study:
        entries = {judge.name: self._entry(judge) for judge in self._file.judges}
        train = next((each for (_, what), each in self._written.items() if what == TRAIN), None)
        return data.Study(
            name=self._file.name,
            test_sets=list(self._test_sets()),
            judges=list(entries.values()),
            teams=[made for team in self._file.teams if (made := self._team(team, entries))],
            train_rows=self._labelled(train) if train else [],
            prices=data.Prices(
                self._file.prices.usd_per_hour,
                {name: (read, wrote) for name, (read, wrote) in self._file.prices.usd_per_million_tokens.items()},
            ),
            data=self._provenance(),
        )

    def _team(self, team: study_file.Team, entries: Mapping[str, data.JudgeEntry]) -> data.Team | None:
        """None where its weights were to be fitted and could not be."""
        judges = tuple(entries[name].id for name in team.judges)
        if not team.fit:
            weights = None if team.weights is None else tuple(team.weights)
            return data.Team(team.name, judges, weights, team.log_likelihood)
        fitted = json.loads(self._inputs[weights_of(team.name)].read_bytes())
        if "weights" not in fitted:
            return None
        weights = tuple(fitted["weights"][name] for name in team.judges)
        return data.Team(team.name, judges, weights, fitted["log_likelihood"])

    def _test_sets(self) -> Iterator[data.TestSet]:
        own = [self._generator(each) for each in self._file.generators if (each.name, TEST) in self._written]
        yield data.TestSet(TEST, own, [self._generator(each) for each in self._file.larger])
        for name in dict.fromkeys(each.name for each in self._file.elsewhere):
            yield data.TestSet(
                name,
                [
                    data.GeneratorRows(each.generator, self._with_verdicts(each.generator, name), (), each.parameters)
                    for each in self._file.elsewhere
                    if each.name == name
                ],
            )

    def _generator(self, generator: study_file.Generator) -> data.GeneratorRows:
        greedy = self._written.get((generator.name, GREEDY))
        pool = self._with_verdicts(generator.name, TEST) if (generator.name, TEST) in self._written else []
        answers = self._labelled(greedy) if greedy else []
        facts = self._facts(self._written[generator.name, TEST] if pool else greedy)
        known = generator.parameters or (parameters(generator.bundle) if generator.bundle else None)
        cost = spending.of_generator(pool or answers, facts.get("memory_bytes"))
        return data.GeneratorRows(generator.name, pool, answers, known, cost)

    def _entry(self, judge: study_file.Judge) -> data.JudgeEntry:
        first = next(each for each in self._judged if each.judge == judge.name)
        facts = self._facts(first)
        own = judge.runs_on in {each.name for each in self._file.generators}
        assert judge.role is not None
        return data.JudgeEntry(
            judge=facts["info"]["name"],
            kind=facts["info"]["kind"],
            label=judge.name,
            role=judge.role,
            base=judge.runs_on or judge.name,
            parameters=judge.parameters or facts.get("parameters"),
            trained_on=judge.generator,
            threshold=facts["threshold"],
            cost=spending.of_judge(
                datasets.read_rows(self._inputs[first.name]), facts.get("adds_bytes" if own else "memory_bytes")
            ),
        )

    def _with_verdicts(self, generator: str, what: str) -> list[Row]:
        rows = self._labelled(self._written[generator, what])
        by_task = {datasets.task_id(row): row for row in rows}
        for each in self._judged:
            if (each.generator, each.what) == (generator, what):
                for judged in datasets.read_rows(self._inputs[each.name]):
                    if datasets.task_id(judged) in by_task:
                        _add_verdicts(by_task[datasets.task_id(judged)], judged)
        return rows

    def _labelled(self, made: Rows) -> list[Row]:
        """Without the tasks that have no candidates, and without verdicts from before the study."""
        rows = [row for row in datasets.read_rows(self._inputs[made.name]) if row.get("candidates")]
        if not rows:
            raise ToolkitError(f"{made.name}: no task has candidates")
        for row in rows:
            for candidate in row["candidates"]:
                candidate.pop("verdicts", None)
        return rows

    def _facts(self, made: Rows | None) -> dict[str, Any]:
        if made is None or made.facts is None:
            return {}
        facts: dict[str, Any] = json.loads(self._inputs[f"{made.name}, {FACTS}"].read_bytes())
        return facts

    def _provenance(self) -> dict[str, Any]:
        """What every set of rows is, which models wrote and judged them, how judges learnt, and what went amiss; in few
        words, since stages keep the whole."""
        made = [*self._written.values(), *self._judged]
        models = {each.judge or each.generator: _model(facts) for each in made if (facts := self._facts(each))}
        stages = dict(map(_notes, self._inputs.values()))
        return {
            "rows_sha256": {each.name: sha256(self._inputs[each.name]) for each in self._written.values()},
            "models": models,
            "learning": {
                name: LEARNING[path.name](json.loads(path.read_bytes()))
                for name, path in self._inputs.items()
                if path.name in LEARNING
            },
            "notes": [f"{stage}: {note}" for stage, notes in stages.items() for note in notes],
        }


def _model(facts: Mapping[str, Any]) -> str:
    """Its name, and the digest of its manifest; of an endpoint, what it is called."""
    info = facts.get("info") or facts
    return " ".join(each for each in (info["name"], info.get("digest", "")) if each)


def _training(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "base": record["base"]["origin"],
        "objective": record["options"]["objective"],
        **record["data"]["train"],
        "steps": record["steps"]["done"],
        "seconds": record["seconds"],
    }


def _calibration(record: Mapping[str, Any]) -> dict[str, Any]:
    if "validation" not in record:
        return dict(record)
    validation = record["validation"]
    return {key: validation[key] for key in ("method", "tasks", "candidates", "correct", "calibrated", "labels_sha256")}


def _weights(record: Mapping[str, Any]) -> dict[str, Any]:
    if "fit" not in record:
        return dict(record)
    return {key: record["fit"][key] for key in ("method", "tasks", "candidates", "correct", "labels_sha256")}


# Inputs that say how a judge or a team learnt, and what of them a report tells.
LEARNING: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    TRAINING_FILE: _training,
    CALIBRATION: _calibration,
    FITTED: _weights,
}


def _notes(path: Path) -> tuple[str, list[str]]:
    """The stage that made a file, and its notes."""
    folder = next((each for each in path.parents if (each / RECORD).is_file()), None)
    record = {"stage": "", "notes": []} if folder is None else json.loads((folder / RECORD).read_bytes())
    return record["stage"], record["notes"]


def _add_verdicts(row: Row, judged: Row) -> None:
    for candidate, said in zip(row["candidates"], judged["candidates"], strict=True):
        candidate["verdicts"] = [*candidate.get("verdicts", []), *said.get("verdicts", [])]
