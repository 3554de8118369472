"""The study file: TOML that names tasks, generators, judges, teams and prices, read into plain dataclasses.

Paths are relative to the file. What it may say is what the dataclasses here have; anything else is refused by name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from gavel.generator import GenerateOptions
from gavel.toolkit.calibration import Method
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.study.data import Role
from gavel.toolkit.study.endpoint import Endpoint
from gavel.toolkit.study.values import Checkpoint, made_of

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Tasks:
    """``[tasks]``: files of any format that `gavel data` reads, to be split, or the folder of a split that is there."""

    files: Sequence[Path] = ()
    split: Path | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    """Test problems of a suite, or a share of them below 1; a suite not named as `gavel data split` has it."""
    validation: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Labelling:
    """``[label]``, as for `gavel label`."""

    jobs: int = 2
    timeout: float = 10.0
    memory: int = 256


@dataclass(frozen=True)
class Calibrating:
    """``[calibrate]``, as for `gavel calibrate`: of judges that were trained, on the validation tasks."""

    method: Method = "platt"
    folds: int = 10
    min_each: int = 30


@dataclass(frozen=True)
class Generator:
    """``[[generators]]`` or ``[[larger]]``: who writes (``bundle`` or ``remote``), or files of ready ``rows``."""

    name: str
    bundle: Path | None = None
    remote: Endpoint | None = None
    rows: Sequence[Path] = ()
    """Candidates that are there, labelled or not; those of the study's tasks are taken."""
    anew: Sequence[Part] = ()
    """Tasks whose candidates it writes itself although there are ``rows``: samples do not say what they took."""
    greedy_rows: Sequence[Path] = ()
    parts: Sequence[Part] = PARTS
    """Which tasks it writes candidates for; judges learn from one that writes for all."""
    greedy: bool = True
    """Whether it also gives its one answer at temperature 0 to the test tasks."""
    candidates: int = 10
    pool: int | None = None
    """Candidates of a test task, to draw from; default: as many as of the others."""
    prompting: Literal["completion", "chat"] | None = None
    parameters: int | None = None
    """Default: as the bundle has them."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """As for `gavel generate`: max_tokens, temperature, top_p, seed ..."""
    judges: Sequence[str] | None = None
    """Who is asked about its candidates of test tasks. Default: every judge."""


@dataclass(frozen=True)
class Judge:
    """``[[judges]]``: one of ``bundle`` (asked as it is), ``base`` (trained here), ``adapter`` (trained already),
    ``probe`` (fitted on a generator's own states) and ``remote``."""

    name: str
    bundle: Path | None = None
    kind: Literal["verbalizer", "classifier", "probe"] | None = None
    """Of the bundle's judges. Default: its probe, else its other one."""
    base: Checkpoint | None = None
    """A checkpoint's folder, a .gguf file, a bundle or a Hub id."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """As for `gavel train`: objective, epochs, max_steps ..."""
    adapter: Path | None = None
    """What `gavel train` left."""
    into: Path | None = None
    """The bundle that the adapter goes into; default: the base where that is a bundle, else the base is exported with
    the adapter merged in."""
    precision: str = "int8"
    """Of such an export."""
    probe: str | None = None
    """The generator whose bundle is read."""
    remote: Endpoint | None = None
    generator: str | None = None
    """Whose candidates it learns from, or learnt from. Default: the first generator that writes for all tasks."""
    role: Role | None = None
    """What reports call it; default: by how it came about."""
    runs_on: str = ""
    """Name of the model beneath; where that is a generator's name, a team counts its parameters once."""
    parameters: int | None = None
    calibrate: bool | None = None
    """Default: those that are trained here, and ready weights that are not calibrated yet."""


@dataclass(frozen=True)
class Team:
    """``[[teams]]``: judges by name. With weights, the weighted sum of their log-odds and of ``log_likelihood`` times
    the mean log-probability, given or fitted on the validation tasks (`gavel team fit`); else the mean of their
    P(correct)."""

    name: str
    judges: Sequence[str]
    fit: bool = False
    weights: Sequence[float] | None = None
    log_likelihood: float = 0.0


@dataclass(frozen=True)
class Elsewhere:
    """``[[elsewhere]]``: candidates of other tasks, labelled by whoever has them; one entry a generator."""

    name: str
    generator: str
    files: Sequence[Path]
    parameters: int | None = None
    judges: Sequence[str] | None = None
    """Who is asked about them. Default: every judge."""


@dataclass(frozen=True)
class Prices:
    """``[prices]``, in US dollars."""

    usd_per_hour: float | None = None
    usd_per_million_tokens: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Read and written, by the name of a generator or of a judge."""


@dataclass(frozen=True)
class StudyFile:
    name: str
    tasks: Tasks
    generators: Sequence[Generator]
    judges: Sequence[Judge] = ()
    teams: Sequence[Team] = ()
    larger: Sequence[Generator] = ()
    elsewhere: Sequence[Elsewhere] = ()
    label: Labelling = Labelling()
    calibrate: Calibrating = Calibrating()
    prices: Prices = Prices()
    seed: int = 0
    device: str = "cpu"


def read(path: str | Path) -> StudyFile:
    """The study that a file describes; ToolkitError says what in it cannot be."""
    file = Path(path)
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ToolkitError(f"{file}: not TOML ({error})") from error
    return of_values(said, file.resolve().parent, str(file))


def of_values(said: Mapping[str, Any], here: Path, where: str = "study") -> StudyFile:
    """The same of plain values; ``here`` is the folder that paths start from."""
    study = made_of(StudyFile, said, here, where)
    check(study, where)
    return study


def check(study: StudyFile, where: str) -> None:
    """What fields alone cannot say."""
    if bool(study.tasks.files) == (study.tasks.split is not None):
        raise ToolkitError(f"{where}, tasks: give either files or split")
    if not any("test" in each.parts for each in study.generators):
        raise ToolkitError(f"{where}: no generator writes for the test tasks; add one to [[generators]]")
    for group in (
        [each.name for each in (*study.generators, *study.larger)],
        [each.name for each in (*study.judges, *study.teams)],
        [f"{each.generator} {each.name}" for each in study.elsewhere],
    ):
        if twice := {name for name in group if group.count(name) > 1}:
            raise ToolkitError(f"{where}: {', '.join(sorted(twice))} is there twice; give each a name of its own")
    for generator in (*study.generators, *study.larger):
        _check_generator(generator, f"{where}, generator {generator.name}")
    for generator in study.larger:
        if not generator.greedy:
            raise ToolkitError(f"{where}, larger {generator.name}: only its greedy answer counts, so greedy is true")
    for judge in study.judges:
        _check_judge(judge, study, f"{where}, judge {judge.name}")
    for each in study.elsewhere:
        if each.name in (*PARTS, "greedy"):
            raise ToolkitError(
                f"{where}, elsewhere: {each.name} is a part of the study's own tasks; choose another name"
            )
    names = {each.name for each in study.judges}
    for asking in (*study.generators, *study.elsewhere):
        if missing := [name for name in asking.judges or () if name not in names]:
            raise ToolkitError(f"{where}, {asking.name}: no judge is called {', '.join(missing)}")
    for team in study.teams:
        if missing := [name for name in team.judges if name not in names]:
            raise ToolkitError(f"{where}, team {team.name}: no judge is called {', '.join(missing)}")
        if team.fit:
            _check_fitted(team, study, f"{where}, team {team.name}")


def _check_generator(generator: Generator, where: str) -> None:
    ready = bool(generator.rows or generator.greedy_rows)
    if generator.bundle is None and generator.remote is None and not ready:
        raise ToolkitError(f"{where}: give bundle, remote or rows")
    if generator.bundle is not None and generator.remote is not None:
        raise ToolkitError(f"{where}: give either bundle or remote")
    if generator.anew and generator.bundle is None and generator.remote is None:
        raise ToolkitError(f"{where}: anew asks it to write, and it has neither bundle nor remote; give one")
    known = set(GenerateOptions.__annotations__) - {"candidates", "probe", "stop_below"}
    if unknown := set(generator.sampling) - known:
        raise ToolkitError(
            f"{where}, sampling: unknown {', '.join(sorted(unknown))}; it may have {', '.join(sorted(known))}"
        )


def _check_fitted(team: Team, study: StudyFile, where: str) -> None:
    if team.weights is not None or team.log_likelihood:
        raise ToolkitError(f"{where}: give either weights or fit")
    if remote := [each.name for each in study.judges if each.name in team.judges and each.remote is not None]:
        raise ToolkitError(f"{where}: {', '.join(remote)} is remote; a team that is fitted is one of bundles")


def _check_judge(judge: Judge, study: StudyFile, where: str) -> None:
    ways = [name for name in ("bundle", "base", "adapter", "probe", "remote") if getattr(judge, name) is not None]
    if ways not in (["bundle"], ["base"], ["adapter"], ["base", "adapter"], ["probe"], ["remote"]):
        raise ToolkitError(f"{where}: {', '.join(ways) or 'nothing'}; give one of bundle, base, adapter, probe, remote")
    if judge.adapter is not None and judge.base is None and judge.into is None:
        raise ToolkitError(f"{where}: an adapter goes into a bundle (into), or is merged into its base (base)")
    if judge.kind is not None and judge.bundle is None:
        raise ToolkitError(f"{where}: kind chooses among a bundle's judges; this one is made as one kind")
    if judge.train and (judge.base is None or judge.adapter is not None):
        raise ToolkitError(f"{where}: train is for a judge with a base and no adapter yet")
    generators = {each.name: each for each in study.generators}
    for name in (judge.generator, judge.probe):
        if name is not None and name not in generators:
            raise ToolkitError(f"{where}: no generator is called {name!r}; there are {', '.join(generators)}")
    if judge.probe is not None and generators[judge.probe].bundle is None:
        raise ToolkitError(f"{where}: generator {judge.probe} has no bundle whose states a probe could read")
