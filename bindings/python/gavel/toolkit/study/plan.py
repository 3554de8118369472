"""The stages of a study, in order, from its file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from gavel.generator import GenerateOptions
from gavel.toolkit import bundle as bundles
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study import assembly, candidates, judges, resolve, teams
from gavel.toolkit.study.assembly import GREEDY, TEST, TRAIN, Rows
from gavel.toolkit.study.candidates import ROWS
from gavel.toolkit.study.endpoint import Endpoint
from gavel.toolkit.study.facts import FACTS
from gavel.toolkit.study.judges import BUNDLE, CALIBRATION, OWN, TRAINED
from gavel.toolkit.study.stages import Input, Made, Stage
from gavel.toolkit.study.study_file import PARTS, Generator, Judge, StudyFile, Team
from gavel.toolkit.training import TrainOptions
from gavel.toolkit.training.train import TRAINING_FILE

KINDS = ("split", "generate", "label", "train", "export", "probe", "calibrate", "team", "judge", "analyse", "report")
SAMPLING: GenerateOptions = {"max_tokens": 256, "temperature": 0.8, "top_p": 0.95, "seed": 0}
REPORTED = ("report.html", "csv", "figures")
REMOTE_SAMPLING = ("max_tokens", "temperature", "top_p", "seed")


@dataclass
class Plan:
    stages: list[Stage] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What the study names and does not do, in words."""
    results: dict[str, Made] = field(default_factory=dict)
    """What a reader or user of the study takes, by its path in the study's folder."""

    def until(self, kind: str) -> list[Stage]:
        """The stages up to those of a kind."""
        if kind not in KINDS:
            raise ToolkitError(f"no stage is called {kind!r}; there are {', '.join(KINDS)}")
        return [stage for stage in self.stages if KINDS.index(stage.kind) <= KINDS.index(kind)]


def plan(study: StudyFile, *, remote: bool = False) -> Plan:
    """``remote`` says that endpoints may be called; without it they are left out."""
    return _Planner(study, remote).plan


class _Planner:
    def __init__(self, study: StudyFile, remote: bool) -> None:
        allowed, left_out = resolve.allowed(study, remote=remote)
        self.plan = Plan(left_out=left_out)
        self._study = resolve.resolved(allowed)
        self._parts: dict[str, Input] = {}
        self._made: list[Rows] = []
        self._learning: dict[str, Input] = {}
        self._split()
        for generator in self._study.generators:
            self._candidates(generator, [part for part in PARTS if part in generator.parts and part in self._parts])
        for generator in self._study.larger:
            self._candidates(generator, [])
        for each in self._study.elsewhere:
            inputs = {f"file {number}": path for number, path in enumerate(each.files, 1)}
            run = partial(candidates.elsewhere, each.generator)
            name = f"label {each.generator} {each.name}"
            self._stage(name, "label", run, inputs, options=each.generator)
            self._made.append(Rows(each.generator, each.name, Made(name, ROWS)))
        self._asked: dict[str, Made] = {}
        self._judges = {judge.name: self._judge(judge) for judge in self._study.judges}
        for team in self._study.teams:
            if team.fit:
                self._team(team)
        for judge in self._study.judges:
            self._verdicts(judge)
        self._figures()
        self.plan.stages.sort(key=lambda stage: KINDS.index(stage.kind))

    def _stage(
        self,
        name: str,
        kind: str,
        run: Any,
        inputs: Mapping[str, Input],
        *,
        options: Any = None,
        code: int | str = 1,
        resumes: bool = False,
    ) -> None:
        self.plan.stages.append(Stage(name, kind, code, run, inputs, options, resumes))

    # Tasks and candidates

    def _split(self) -> None:
        tasks = self._study.tasks
        if tasks.split is not None:
            here = {part: tasks.split / f"{part}.jsonl" for part in PARTS}
            self._parts = {part: path for part, path in here.items() if path.is_file() and path.stat().st_size}
            if TEST not in self._parts:
                raise ToolkitError(f"{tasks.split} has no test.jsonl with tasks; make it with gavel data split")
            return
        inputs = {f"file {number}": path for number, path in enumerate(tasks.files, 1)}
        options = {"test": dict(tasks.test), "validation": tasks.validation, "seed": tasks.seed}
        self._stage("split", "split", partial(candidates.split, tasks), inputs, options=options)
        parts = [part for part in PARTS if part != "validation" or tasks.validation > 0]
        self._parts = {part: Made("split", f"{part}.jsonl") for part in parts}

    def _candidates(self, generator: Generator, parts: list[Any]) -> None:
        for part in parts:
            count = (generator.pool or generator.candidates) if part == TEST else generator.candidates
            ready = () if part in generator.anew else generator.rows
            self._written(generator, part, self._parts[part], ready, count)
        if generator.greedy:
            self._written(generator, GREEDY, self._parts[TEST], generator.greedy_rows, 1)

    def _written(self, generator: Generator, what: str, tasks: Input, ready: Any, count: int) -> None:
        """Stages that write or take a generator's candidates of some tasks, and that label them."""
        name = f"generate {generator.name} {what}"
        if ready:
            inputs = {"tasks": tasks} | {f"file {number}": path for number, path in enumerate(ready, 1)}
            run: Any = partial(candidates.take, generator.name, count)
            self._stage(name, "generate", run, inputs, options=[generator.name, count])
        elif generator.bundle is None and generator.remote is None:
            self.plan.left_out.append(f"{generator.name}, {what}: neither a bundle nor rows to take them from")
            return
        else:
            options = {**SAMPLING, **generator.sampling, "candidates": count}
            if what == GREEDY:
                options |= {"temperature": 0.0}
            self._writing(generator, name, tasks, options)
        labelled = f"label {generator.name} {what}"
        run = partial(candidates.label_rows, self._study.label)
        self._stage(labelled, "label", run, {"rows": Made(name, ROWS)}, options=asdict(self._study.label), resumes=True)
        self._made.append(Rows(generator.name, what, Made(labelled, ROWS), Made(name, FACTS)))

    def _writing(self, generator: Generator, name: str, tasks: Input, options: dict[str, Any]) -> None:
        inputs = {"tasks": tasks}
        if generator.remote is not None:
            asked = {key: options[key] for key in (*REMOTE_SAMPLING, "candidates")}
            run: Any = partial(candidates.generate_remotely, generator, asked)
            said = asked | _endpoint(generator.remote)
            self._stage(name, "generate", run, inputs, options=said, resumes=True)
            return
        assert generator.bundle is not None
        options |= {"probe": False}
        run = partial(candidates.generate, generator, options, self._study.device)
        said = options | {"prompting": generator.prompting}
        self._stage(name, "generate", run, inputs | {"bundle": generator.bundle}, options=said, resumes=True)

    def _rows(self, generator: str | None, what: str) -> Made | None:
        """A generator's labelled rows."""
        found = (each.rows for each in self._made if (each.generator, each.what) == (generator, what))
        return next(found, None)

    # Judges

    def _judge(self, judge: Judge) -> Input | None:
        """Stages that make a judge; where it is then, None of a remote one."""
        if judge.remote is not None:
            return None
        weights: Input | None = None
        if judge.bundle is not None:
            place: Input = judge.bundle
        elif judge.probe is not None:
            place = self._probe(judge)
        else:
            weights = self._trained(judge)
            place = self._exported(judge, weights)
        return self._calibrated(judge, place, weights) if judge.calibrate else place

    def _teaching(self, judge: Judge) -> dict[str, Input]:
        rows = {part: self._rows(judge.generator, part) for part in (TRAIN, "validation")}
        if rows[TRAIN] is None:
            raise ToolkitError(
                f"judge {judge.name}: generator {judge.generator} has no candidates of training tasks to learn from; "
                "name one that has, or take a judge that is trained"
            )
        return {part: made for part, made in rows.items() if made is not None}

    def _trained(self, judge: Judge) -> Input:
        if judge.adapter is not None:
            if (judge.adapter / TRAINING_FILE).is_file():
                self._learning[f"{judge.name}, training"] = judge.adapter / TRAINING_FILE
            return judge.adapter
        assert judge.base is not None
        options = _train_options(judge, self._study)
        inputs = {"base": _checkpoint(judge.base), **self._teaching(judge)}
        run = partial(judges.train, options)
        self._stage(f"train {judge.name}", "train", run, inputs, options=options.decides(), resumes=True)
        self._learning[f"{judge.name}, training"] = Made(f"train {judge.name}", f"{TRAINED}/{TRAINING_FILE}")
        return self._weights(judge, Made(f"train {judge.name}", TRAINED))

    def _weights(self, judge: Judge, trained: Made) -> Made:
        self.plan.results[f"judges/{_slug(judge.name)}"] = trained
        return trained

    def _exported(self, judge: Judge, adapter: Input) -> Input:
        name, called = f"export {judge.name}", _slug(judge.name)
        if judge.into is not None:
            inputs: dict[str, Input] = {"into": judge.into, "adapter": adapter}
            self._stage(name, "export", partial(judges.adapt_bundle, called), inputs, options=called)
            return Made(name, f"{BUNDLE}/{bundles.ADAPTERS}/{called}")
        assert judge.base is not None
        inputs = {"base": _checkpoint(judge.base), "adapter": adapter}
        run = partial(judges.export_bundle, called, judge.precision)
        self._stage(name, "export", run, inputs, options=[called, judge.precision])
        return Made(name, BUNDLE)

    def _probe(self, judge: Judge) -> Input:
        bundle = next(each.bundle for each in self._study.generators if each.name == judge.probe)
        assert bundle is not None
        inputs = {"bundle": bundle, TRAIN: self._teaching(judge)[TRAIN]}
        run = partial(judges.probe, self._study.seed, self._study.device)
        self._stage(f"probe {judge.name}", "probe", run, inputs, options=self._study.seed, resumes=True)
        return Made(f"probe {judge.name}", BUNDLE)

    def _on_validation(self, judge: Judge, place: Input) -> Made | None:
        """A judge's verdicts on the validation rows of the generator it learns from; None where there are none."""
        if judge.name not in self._asked:
            rows = self._rows(judge.generator or resolve.teacher(self._study), "validation")
            if rows is None:
                return None
            name, kind = f"judge {judge.name} validation", _kind(judge)
            run = partial(judges.ask, kind, self._study.device)
            self._stage(name, "calibrate", run, {"judge": place, "rows": rows}, options=kind, resumes=True)
            self._asked[judge.name] = Made(name, ROWS)
        return self._asked[judge.name]

    def _calibrated(self, judge: Judge, place: Input, weights: Input | None) -> Input:
        verdicts = self._on_validation(judge, place)
        if verdicts is None:
            self.plan.left_out.append(f"calibration of {judge.name}: no labelled candidates of validation tasks")
            return place
        name, kind, how = f"calibrate {judge.name}", _kind(judge), self._study.calibrate
        run = partial(judges.calibrate_judge, kind, how, self._study.seed)
        inputs: dict[str, Input] = {"judge": place, "verdicts": verdicts}
        if weights is not None:
            inputs["weights"] = weights
            self._weights(judge, Made(name, TRAINED))
        self._stage(name, "calibrate", run, inputs, options=[kind, asdict(how), self._study.seed])
        self._learning[f"{judge.name}, calibration"] = Made(name, CALIBRATION)
        inside = place.path if isinstance(place, Made) else _inside(judge.bundle)
        return Made(name, inside)

    def _team(self, team: Team) -> None:
        """A stage that fits a team's weights."""
        writers = [each for each in self._study.generators if each.name == resolve.teacher(self._study)]
        bundle = next((each.bundle for each in writers), None)
        if bundle is None:
            raise ToolkitError(
                f"team {team.name}: it is fitted, so a generator with a bundle writes for training tasks"
            )
        inputs: dict[str, Input] = {"generator": bundle}
        for judge in (each for each in self._study.judges if each.name in team.judges):
            place = self._judges[judge.name]
            assert place is not None
            verdicts = self._on_validation(judge, place)
            if verdicts is None:
                raise ToolkitError(f"team {team.name}: no labelled candidates of validation tasks to fit it on")
            inputs |= {judge.name: place, teams.verdicts_of(judge.name): verdicts}
        kinds = {each.name: _kind(each) for each in self._study.judges if each.name in team.judges}
        name, how, seed = f"team {team.name}", self._study.calibrate, self._study.seed
        run = partial(teams.fit, _slug(team.name), kinds, how, seed, self._study.device)
        self._stage(name, "team", run, inputs, options=[_slug(team.name), kinds, how.folds, how.min_each, seed])
        self._learning[assembly.weights_of(team.name)] = Made(name, teams.FITTED)

    def _verdicts(self, judge: Judge) -> None:
        kind, place = _kind(judge), self._judges[judge.name]
        for each in [each for each in self._made if each.judge is None and each.what not in (*PARTS[:2], GREEDY)]:
            if not self._asks(judge, each):
                continue
            name = f"judge {judge.name} {each.generator} {each.what}"
            if place is None:
                assert judge.remote is not None
                run: Any = partial(judges.ask_remotely, judge)
                options: Any = {"name": judge.name} | _endpoint(judge.remote)
                inputs: dict[str, Input] = {"rows": each.rows}
            else:
                run, options = partial(judges.ask, kind, self._study.device), kind
                inputs = {"judge": place, "rows": each.rows}
            self._stage(name, "judge", run, inputs, options=options, resumes=True)
            self._made.append(Rows(each.generator, each.what, Made(name, ROWS), Made(name, FACTS), judge.name))

    def _asks(self, judge: Judge, rows: Rows) -> bool:
        """Whether a judge is asked about these rows."""
        own = [each for each in self._study.generators if rows.what == TEST and each.name == rows.generator]
        far = [each for each in self._study.elsewhere if (each.name, each.generator) == (rows.what, rows.generator)]
        return all(each.judges is None or judge.name in each.judges for each in (*own, *far))

    def _figures(self) -> None:
        wanted = [each for each in self._made if each.what != "validation"]
        inputs = {name: given for each in wanted for name, given in each.inputs().items()} | self._learning
        said = json.loads(json.dumps(asdict(self._study), default=lambda path: Path(path).name))
        code = _sources()
        run = partial(assembly.figures, self._study, wanted, self.plan.left_out)
        self._stage("analyse", "analyse", run, inputs, options=[said, self.plan.left_out], code=code)
        analysis = {"analysis": Made("analyse", assembly.ANALYSIS)}
        self._stage("report", "report", assembly.report, analysis, code=code)
        self.plan.results |= {name: Made("report", name) for name in REPORTED}
        self.plan.results[assembly.ANALYSIS] = Made("analyse", assembly.ANALYSIS)


def _train_options(judge: Judge, study: StudyFile) -> TrainOptions:
    known = {each.name for each in fields(TrainOptions)}
    if unknown := set(judge.train) - known:
        raise ToolkitError(
            f"judge {judge.name}, train: unknown {', '.join(sorted(unknown))}; it may have {', '.join(sorted(known))}"
        )
    return TrainOptions(**{"device": study.device, "seed": study.seed} | dict(judge.train))


def _kind(judge: Judge) -> str:
    if judge.probe is not None:
        return "probe"
    return OWN if judge.bundle is None else judge.kind or "automatic"


def _inside(judge: Path | None) -> str:
    """Where a bundle's or an adapter's copy lies in a stage's folder."""
    assert judge is not None
    return BUNDLE if bundles.base_of(judge) is None else f"{BUNDLE}/{bundles.ADAPTERS}/{judge.name}"


def _checkpoint(base: str) -> Input:
    return Path(base) if Path(base).exists() else base


def _endpoint(remote: Endpoint) -> dict[str, Any]:
    """What of an endpoint decides its answers."""
    return {"url": remote.url, "model": remote.model, "logprobs": remote.logprobs}


def _slug(name: str) -> str:
    """A judge's name as an adapter may be called."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-._") or "judge"


def _sources() -> str:
    """SHA-256 of this package's code and templates: figures and report are cheap, and made anew when it changes."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            found.update(path.read_bytes())
    return found.hexdigest()
