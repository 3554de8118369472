"""The stages that make judges and ask them: trained, put into bundles, fitted as probes, calibrated, asked."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gavel
from gavel.toolkit import bundle as bundles
from gavel.toolkit import datasets, formats
from gavel.toolkit.adapter import adapt
from gavel.toolkit.calibrate import calibrate
from gavel.toolkit.calibration import most_agreeing
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import export
from gavel.toolkit.fit_probe import fit_probe
from gavel.toolkit.judging import JUDGE_FILE
from gavel.toolkit.rows import judged, merged
from gavel.toolkit.study.candidates import ROWS, each_row
from gavel.toolkit.study.facts import facts_of, parameters, write_facts
from gavel.toolkit.study.remote import RemoteJudge
from gavel.toolkit.study.stages import Work
from gavel.toolkit.study.study_file import Calibrating, Judge
from gavel.toolkit.training import TrainOptions
from gavel.toolkit.training import train as run_training
from gavel.toolkit.training.train import TRAINING_FILE

TRAINED = "trained"  # the folder that training leaves
BUNDLE = "judge.gavel"  # the bundle that a stage makes
CALIBRATION = "calibration.json"
OWN = "own"  # kind of a judge that was made here: its bundle's verbalizer or classifier, whatever probe is beside


def train(options: TrainOptions, work: Work) -> None:
    """The folder `TRAINED`, as `gavel train` leaves it."""
    folder = work.folder / TRAINED
    if (folder / TRAINING_FILE).exists():
        return  # a kill came between its end and the stage's
    run_training(
        work.inputs["base"],
        work.inputs["train"],
        folder,
        validation_jsonl=work.inputs.get("validation"),
        options=options,
        progress=work.tell,
    )


def adapt_bundle(name: str, work: Work) -> None:
    """The adapter in a bundle of the same weights: `BUNDLE`/adapters/NAME."""
    adapt(linked(work.inputs["into"], work.folder), work.inputs["adapter"], name=name, progress=work.tell)


def export_bundle(name: str, precision: str, work: Work) -> None:
    """The base with the adapter merged in, or weights that were trained whole, as `BUNDLE`."""
    adapter: Path = work.inputs["adapter"]
    merge = (adapter / "adapter_config.json").is_file()
    export(
        work.inputs["base"] if merge else adapter,
        work.folder / BUNDLE,
        precision=precision,
        adapter=adapter if merge else None,
        name=name,
        progress=work.tell,
    )


def probe(seed: int, device: str, work: Work) -> None:
    """A probe on the generator's own states of its training candidates, in `BUNDLE`."""
    folder = linked(work.inputs["bundle"], work.folder)
    rows = work.folder / ROWS  # what a fit leaves beside its rows is left here
    with suppress(FileExistsError):
        rows.symlink_to(work.inputs["train"].resolve())
    fit_probe(
        folder,
        rows,
        seed=seed,
        device=device,
        progress=lambda done, total: work.tell(f"{done} of {total} tasks and folds", done / total),
    )
    shutil.rmtree(f"{rows}.taps", ignore_errors=True)
    rows.unlink()


def ask(kind: str, device: str, work: Work) -> None:
    """The judge's verdicts on the candidates of ``rows``; those of others are left out."""
    place: Path = work.inputs["judge"]
    model = gavel.Model.open(place, device=device)
    judge = gavel.Judge(model, kind_at(place, kind))  # type: ignore[arg-type]
    each_row(work, lambda row: judged([judge], row) if row["candidates"] else row, prepared=unjudged)
    rows = datasets.read_rows(work.folder / ROWS)
    most = max(rows, key=lambda row: len(row["candidates"]))
    read, longest = (
        max((len(model.tokenizer.encode(text)) for text in texts), default=1)
        for texts in ([datasets.prompt(most)], [each["code"] for each in most["candidates"]])
    )
    memory = model.estimate(read, max(1, len(most["candidates"])), max(1, longest)).total
    info = judge.info()
    facts = {"info": asdict(info), "threshold": threshold(place, info.kind), "parameters": parameters(place)}
    write_facts(work.folder, facts_of(model, memory) | facts | {"adds_bytes": _adds(place, info.kind)})


def ask_remotely(judge: Judge, work: Work) -> None:
    assert judge.remote is not None
    member = RemoteJudge(judge.name, judge.remote)
    usage = member.client.usage

    def counted(row: Row) -> Row:
        before = usage.prompt_tokens, usage.completion_tokens
        made = judged([member], row)
        spent = {"judge_read": usage.prompt_tokens - before[0], "judge_wrote": usage.completion_tokens - before[1]}
        return made | {"run": merged(made["run"], {"tokens": spent})}

    each_row(work, lambda row: counted(row) if row["candidates"] else row, prepared=unjudged)
    write_facts(work.folder, {"info": asdict(member.info()), "threshold": 0.5})


def calibrate_judge(kind: str, how: Calibrating, seed: int, work: Work) -> None:
    """The judge again, calibrated on its verdicts of the validation rows, and what training left as `TRAINED`, which
    says so as well; both as they were where the rows do not allow it, with a note."""
    judge = linked(work.inputs["judge"], work.folder)
    weights: Path | None = work.inputs.get("weights")
    if weights is not None and (weights / JUDGE_FILE).is_file():
        weights = Path(shutil.copytree(weights, work.folder / TRAINED))
    else:
        weights = None  # an adapter from elsewhere, which says nothing of how it is asked
    rows = work.folder / ROWS
    judged_ones = [row for row in datasets.read_rows(work.inputs["verdicts"]) if "failed" not in row]
    formats.write(rows, judged_ones)
    try:
        fit = calibrate(
            judge,
            rows,
            method=how.method,
            kind=kind_at(judge, kind),
            folds=how.folds,
            seed=seed,
            min_each=how.min_each,
            weights=weights,
        )
    except ToolkitError as error:
        work.notes.append(f"not calibrated: {error}")
        said: dict[str, Any] = {"not_calibrated": str(error)}
    else:
        validation = {key: value for key, value in fit.validation.items() if key != "curve"}
        said = {"calibration": fit.calibration, "validation": validation, "methods": fit.methods}
    datasets.write_atomically(work.folder / CALIBRATION, bundles.to_json(said))
    rows.unlink()


def linked(judge: Path, folder: Path) -> Path:
    """A bundle in a stage's folder, as `BUNDLE`, that shares the files of another and may be given a judge of its own;
    of an adapter, the adapter in such a bundle."""
    base = bundles.base_of(judge)
    made = folder / BUNDLE
    _link(base or judge, made)
    if base is None:
        return made
    _link(judge, made / bundles.ADAPTERS / judge.name)
    return made / bundles.ADAPTERS / judge.name


def _link(source: Path, made: Path) -> None:
    """Hard links where the file system has them, since these outlive a move; what is written anew is no link."""
    made.mkdir(parents=True, exist_ok=True)
    for file in (each for each in source.iterdir() if each.is_file()):
        if (made / file.name).exists():
            continue
        try:
            os.link(file.resolve(), made / file.name)
        except OSError:
            (made / file.name).symlink_to(file.resolve())


def kind_at(judge: Path, kind: str) -> str:
    """A kind as `gavel.Judge` takes it, of `OWN` too."""
    return str(bundles.read_model(judge)["judge"]["type"]) if kind == OWN else kind


def threshold(judge: Path, kind: str) -> float:
    """From which P(correct) on it calls a candidate correct: where it is calibrated, what agreed best in validation."""
    said = bundles.read_probe(judge) if kind == "probe" else bundles.read_model(judge)["judge"]
    return most_agreeing(said["validation"]) if said.get("validation") else float(said["threshold"])


def _adds(judge: Path, kind: str) -> int:
    """Bytes beside the bundle's own weights: of the probe, or of the adapter."""
    if kind == "probe":
        return (judge / bundles.PROBE).stat().st_size
    return (judge / bundles.ADAPTER_WEIGHTS).stat().st_size if bundles.base_of(judge) is not None else 0


def unjudged(row: Row) -> Row:
    kept = {key: value for key, value in row.items() if key != "failed"}
    run = {key: value for key, value in (row.get("run") or {}).items() if key != "joules"}
    candidates = [
        {key: value for key, value in each.items() if key != "verdicts"} for each in row.get("candidates") or []
    ]
    return kept | {"run": run, "candidates": candidates}
