"""Training judges: packed tasks against candidates read alone, what a stop costs, and the way into a bundle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import labelled_toys as toys
import pytest
import tiny_families
import tiny_models as tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForSequenceClassification
from typer.testing import CliRunner

import gavel
from gavel.cli.app import app
from gavel.toolkit import bundle as bundles
from gavel.toolkit import datasets
from gavel.toolkit.adapter import adapt
from gavel.toolkit.calibrate import calibrate
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.export import export
from gavel.toolkit.labelled import candidates_of
from gavel.toolkit.rows import task_of
from gavel.toolkit.sources import open_source
from gavel.toolkit.training import TrainOptions, dry_run, train, trainer
from gavel.toolkit.training.examples import Example, TaskExamples
from gavel.toolkit.training.model import JudgeModel, Verdicts
from gavel.toolkit.training.objectives import Objective, listwise, pairwise
from gavel.toolkit.training.packing import packs
from gavel.toolkit.training.prepare import prepare
from gavel.toolkit.training.scoring import log_odds

FAST: dict[str, Any] = {"rank": 4, "learning_rate": 5e-3, "tasks_per_step": 2, "precision": "fp32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.model("llama", max_position_embeddings=1024), tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return toys.write(folder / "train.jsonl", 24), toys.write(folder / "validation.jsonl", 9, seed=1, first=100)


def examples(lengths: list[int], feedback: int = 0) -> TaskExamples:
    chance = torch.Generator().manual_seed(0)

    def some(count: int) -> list[int]:
        return torch.randint(3, 300, (count,), generator=chance).tolist()

    prefix = some(30)
    return TaskExamples(
        "t", "t", prefix, [Example(i, some(n), i % 2 == 0, i % 3, some(feedback)) for i, n in enumerate(lengths)]
    )


@pytest.mark.parametrize("family", tiny_families.FAMILIES)
@torch.inference_mode()
def test_packed_candidates_are_read_as_if_alone(family: str, tmp_path: Path) -> None:
    reference = tiny_families.model(family)
    source = open_source(tiny.save(reference, tmp_path / "base"))
    model = JudgeModel(source, Verdicts(5, 6), TrainOptions(precision="fp32")).eval()
    task = examples([1, 12, 60, 25])
    (pack,) = packs(task, task.examples, 1000)
    states = model.states(pack)
    for number, (example, verdict) in enumerate(zip(task.examples, pack.verdicts, strict=True)):
        alone = reference(torch.tensor([task.prefix + example.tokens])).logits[0, -1]
        found = model.vocabulary(states[verdict][None])[0]
        assert (found - alone).abs().max() < 2e-5 * alone.abs().max(), number
        odds = model.log_odds(states[verdict][None])[0]
        assert float(odds) == pytest.approx(float(alone[5] - alone[6]), abs=1e-4)


@pytest.mark.parametrize("objective", ["verbalizer", "classifier", "rankef"])
def test_a_packed_step_changes_weights_as_candidates_one_by_one_do(objective: Any, base: Path) -> None:
    labels = {"verbalizer": (), "classifier": ("correct", "wrong")}.get(objective, ("correct", "a", "b"))
    task = examples([4, 9, 17], feedback=5 if objective == "rankef" else 0)
    options = TrainOptions(objective=objective, balance=False, **FAST)
    found = []
    for groups in ([task.examples], [[each] for each in task.examples]):
        torch.manual_seed(0)
        model = JudgeModel(open_source(base), Verdicts(*((0, 1) if labels else (5, 6)), labels), options)
        with torch.no_grad():
            for name, each in model.trained().items():
                if "lora_B" in name or "score" in name:
                    each.copy_(0.05 * torch.randn_like(each))
        learns = Objective(options, 1, 2)
        loss = sum(
            (learns.loss(model, pack) for group in groups for pack in packs(task, group, 1000)), start=torch.zeros(())
        )
        loss.backward()
        found.append((loss.item(), {name: each.grad for name, each in model.trained().items()}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=1e-5, rtol=1e-4)


def test_right_and_wrong_candidates_weigh_the_same_of_those_that_are_drawn(base: Path, tmp_path: Path) -> None:
    rows = toys.write(tmp_path / "rows.jsonl", 6, candidates=9)  # two tasks of 9 right, four of 3 right and 6 wrong
    for most, right in ((None, 2 * 9 + 4 * 3), (4, 2 * 4 + 4 * 2)):
        options = TrainOptions(candidates=most, **FAST)
        found = prepare(base, rows, None, options)
        made = trainer.Trainer(JudgeModel(found.source, found.verdicts, options), found.train, [], options)
        packed = [each for pack in made.all_packs() for each in pack.examples]
        assert sum(each.passed for each in packed) == right
        weights = [made.objective.weight(each) for each in packed]
        assert sum(weights) == pytest.approx(len(packed))
        assert sum(w for w, each in zip(weights, packed, strict=True) if each.passed) == pytest.approx(len(packed) / 2)


def test_ranking_losses_are_the_papers() -> None:
    odds, passed = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([True, False, True])
    expected = (math.log1p(math.exp(-3.0)) + math.log1p(math.exp(-1.5))) / 2
    assert pairwise(odds, passed).item() == pytest.approx(expected, rel=1e-6)
    whole = math.exp(2) + math.exp(-1) + math.exp(0.5)
    expected = -(math.log(math.exp(2) / whole) + math.log(math.exp(0.5) / whole)) / 2
    assert listwise(odds, passed).item() == pytest.approx(expected, rel=1e-6)
    for loss in (pairwise, listwise):
        assert loss(odds, torch.tensor([True] * 3)).item() == 0


@pytest.mark.parametrize("objective", ["verbalizer", "classifier", "rankef", "pairwise", "listwise"])
def test_learns_and_the_bundle_judges_as_the_model_that_was_trained(
    objective: Any, base: Path, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    options = TrainOptions(objective=objective, epochs=6, evaluations=3, **FAST)
    made = train(base, rows[0], tmp_path / "judge", validation_jsonl=rows[1], options=options)
    assert made.record["validation"]["auroc"] > 0.9
    assert made.record["validation"]["top_1"] > made.record["validation"]["random"]

    bundle = export(base, tmp_path / "base.gavel", precision="fp32")
    adapt(bundle, made.folder)
    kind = "classifier" if objective in ("classifier", "rankef") else "verbalizer"
    judge = gavel.Judge(gavel.Model.open(bundle).adapted("judge"), kind)  # type: ignore[arg-type]
    assert judge.info().trained
    prepared = prepare(base, rows[0], rows[1], options)
    model = restored(base, made.folder, prepared, options)
    assert prepared.validation
    for row, task in zip(datasets.read_rows(rows[1]), prepared.validation.tasks, strict=True):
        positions = [each.position for each in task.examples]
        said = [verdict.logit for verdict in judge.judge(task_of(row), candidates_of(row, positions))]
        assert said == pytest.approx(log_odds(model, task, 2048).tolist(), abs=1e-4)


def test_a_calibration_travels_with_the_weights(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    made = train(base, rows[0], tmp_path / "judge", options=TrainOptions(epochs=4, **FAST))
    first = export(base, tmp_path / "first.gavel", precision="fp32")
    place = adapt(first, made.folder)
    fit = calibrate(place, rows[1], min_each=5, weights=made.folder)
    second = adapt(export(base, tmp_path / "second.gavel", precision="fp32"), made.folder)
    said = bundles.read_adapter(second)["judge"]
    assert said["calibration"] == fit.calibration != {"scale": 1.0, "shift": 0.0}
    assert said["validation"] == fit.validation
    with pytest.raises(ToolkitError, match=r"has no judge\.json"):
        calibrate(place, rows[1], min_each=5, weights=tmp_path)


def restored(base: Path, folder: Path, prepared: Any, options: TrainOptions) -> JudgeModel:
    """The trained model from what was saved."""
    model = JudgeModel(open_source(base), prepared.verdicts, options).eval()
    model.load_adapter(folder)
    return model


def test_peft_loads_a_trained_classifier(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    made = train(base, rows[0], tmp_path / "judge", options=TrainOptions(objective="classifier", **FAST))
    plain = LlamaForSequenceClassification.from_pretrained(base, num_labels=2, pad_token_id=0)
    loaded = PeftModel.from_pretrained(plain, str(made.folder))
    score = loaded.base_model.model.score
    kept = getattr(score, "modules_to_save", {"default": score})["default"].weight
    assert kept.abs().max() > 0  # it begins at nothing
    assert any("lora_B" in name and each.abs().max() > 0 for name, each in loaded.named_parameters())


def test_begins_where_another_training_ended(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    """A rate of almost nothing leaves the weights that it was given, and the figures on validation."""
    options = TrainOptions(epochs=4, **FAST)
    first = train(base, rows[0], tmp_path / "first", validation_jsonl=rows[1], options=options)
    still = TrainOptions(objective="pairwise", max_steps=1, **(FAST | {"learning_rate": 1e-12}))
    second = train(base, rows[0], tmp_path / "second", validation_jsonl=rows[1], start_from=first.folder, options=still)
    weights = [load_file(made.folder / "adapter_model.safetensors") for made in (first, second)]
    for name, each in weights[0].items():
        torch.testing.assert_close(weights[1][name], each, atol=1e-6, rtol=0)
    assert second.record["validation"]["auroc"] == first.record["validation"]["auroc"] > 0.9
    assert second.record["start_from"]["data"] == first.record["data"]
    for other in ({"rank": 2}, {"alpha": 1.0}, {"objective": "classifier"}):
        with pytest.raises(ToolkitError, match="not an adapter of this base with these options"):
            train(base, rows[0], tmp_path / "third", start_from=first.folder, options=TrainOptions(**(FAST | other)))
    with pytest.raises(ToolkitError, match=r"holds no adapter_model\.safetensors"):
        train(base, rows[0], tmp_path / "third", start_from=tmp_path, options=options)


def test_a_ranking_loss_keeps_what_is_best_within_tasks(
    base: Path, rows: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_all, within = iter([0.6, 0.7, 0.8]), iter([0.5, 0.7, 0.6])

    def said(*_: Any) -> dict[str, Any]:
        figures = {"brier": 0.2, "top_1": 0.5, "random": 0.4, "oracle": 0.6, "tasks": 1, "candidates": 2}
        return figures | {"auroc": next(over_all), "auroc_within_tasks": next(within)}

    monkeypatch.setattr(trainer, "evaluate", said)
    options = TrainOptions(objective="pairwise", epochs=1, evaluations=3, **FAST)
    made = train(base, rows[0], tmp_path / "judge", validation_jsonl=rows[1], options=options)
    assert made.record["steps"] == {"planned": 12, "done": 12, "best": 8}


def test_all_weights_become_a_checkpoint(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    options = TrainOptions(objective="classifier", full=True, tasks_per_step=4, learning_rate=1e-3, precision="fp32")
    made = train(base, rows[0], tmp_path / "judge", validation_jsonl=rows[1], options=options)
    bundle = export(made.folder, tmp_path / "judge.gavel", precision="fp32")
    judge = gavel.Judge(gavel.Model.open(bundle))
    assert judge.info().labels == ["correct", "wrong"]
    row = datasets.read_rows(rows[1])[0]
    reference = LlamaForSequenceClassification.from_pretrained(made.folder).eval()
    prepared = prepare(base, rows[0], rows[1], options)
    assert prepared.validation
    task = prepared.validation.tasks[0]
    with torch.inference_mode():
        for example, verdict in zip(
            task.examples, judge.judge(task_of(row), candidates_of(row, list(range(6)))), strict=True
        ):
            states = reference.model(torch.tensor([task.prefix + example.tokens])).last_hidden_state[0, -1]
            logits = reference.score(states)
            assert verdict.logit == pytest.approx(float(logits[0] - logits[1]), abs=1e-4)


def test_a_stopped_training_ends_as_one_that_was_not(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    options = TrainOptions(epochs=2, evaluations=2, **FAST)
    whole = train(base, rows[0], tmp_path / "whole", validation_jsonl=rows[1], options=options)

    def stop(step: str, share: float) -> None:
        if step.startswith("step 7 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base, rows[0], tmp_path / "parts", validation_jsonl=rows[1], options=options, progress=stop)
    assert not (tmp_path / "parts" / "training.json").exists()
    seen: list[str] = []
    parts = train(
        base,
        rows[0],
        tmp_path / "parts",
        validation_jsonl=rows[1],
        options=options,
        progress=lambda step, share: seen.append(step),
    )
    assert next(step for step in seen if step.startswith("step")).startswith("step 8 ")
    assert not list(tmp_path.glob("parts/checkpoint*"))
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (whole.folder, parts.folder)]
    assert weights[0] == weights[1]
    histories = [json.loads((folder / "curves.json").read_text()) for folder in (whole.folder, parts.folder)]
    assert histories[0] == histories[1]
    assert (parts.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_ends_when_validation_gets_worse_and_keeps_the_best(
    base: Path, rows: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aurocs = iter([0.6, 0.8, 0.7, 0.75, 0.9])
    kept: list[dict[str, torch.Tensor]] = []

    def worse(model: JudgeModel, *_: Any) -> dict[str, Any]:
        kept.append({name: each.detach().clone() for name, each in model.trained().items()})
        return {
            "auroc": next(aurocs),
            "auroc_within_tasks": None,
            "brier": 0.2,
            "top_1": 0.5,
            "random": 0.4,
            "oracle": 0.6,
            "tasks": 1,
            "candidates": 2,
        }

    monkeypatch.setattr(trainer, "evaluate", worse)
    options = TrainOptions(epochs=1, evaluations=5, patience=2, **FAST)
    made = train(base, rows[0], tmp_path / "judge", validation_jsonl=rows[1], options=options)
    steps = made.record["steps"]
    assert (steps["planned"], steps["done"], steps["best"]) == (12, 10, 5)
    model = restored(base, made.folder, prepare(base, rows[0], rows[1], options), options)
    for name, each in model.trained().items():
        assert torch.equal(each, kept[1][name])


def test_dry_run_counts_what_steps_would_read(base: Path, rows: tuple[Path, Path]) -> None:
    options = TrainOptions(epochs=2, **FAST)
    said = dry_run(base, rows[0], options=options)
    found = prepare(base, rows[0], None, options).train
    own = sum(len(each.tokens) for task in found.tasks for each in task.examples)
    assert said.steps == 24
    assert said.tokens == 2 * (own + sum(len(task.prefix) for task in found.tasks))
    assert said.tokens_unpacked == 2 * (own + sum(len(task.prefix) * len(task.examples) for task in found.tasks))
    assert said.seconds > 0
    assert said.trained_parameters < said.parameters


def test_a_training_is_not_mixed_with_another(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(step: str, share: float) -> None:
        if step.startswith("step 2 "):
            raise KeyboardInterrupt

    options = TrainOptions(max_steps=4, **FAST)
    with pytest.raises(KeyboardInterrupt):
        train(base, rows[0], tmp_path / "judge", options=options, progress=stop)
    with pytest.raises(ToolkitError, match="other options, rows or base"):
        train(base, rows[0], tmp_path / "judge", options=TrainOptions(max_steps=5, **FAST))
    made = train(base, rows[0], tmp_path / "judge", options=options)
    assert made.record["steps"]["done"] == 4
    with pytest.raises(ToolkitError, match="holds a finished training"):
        train(base, rows[0], tmp_path / "judge", options=options)


def test_lower_layers_stay_as_they_are(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    made = train(base, rows[0], tmp_path / "judge", options=TrainOptions(first_layer=1, max_steps=2, **FAST))
    from safetensors.torch import load_file

    names = load_file(made.folder / "adapter_model.safetensors")
    assert names
    assert all(".layers.1." in name for name in names)
    with pytest.raises(ToolkitError, match="has layers 0 to 1"):
        train(base, rows[0], tmp_path / "other", options=TrainOptions(first_layer=2, **FAST))


def test_command_line(base: Path, rows: tuple[Path, Path], tmp_path: Path) -> None:
    common = [
        "train",
        str(base),
        str(rows[0]),
        "-o",
        str(tmp_path / "judge"),
        "--max-steps",
        "2",
        "--rank",
        "2",
        "--json",
    ]
    planned = json.loads(CliRunner().invoke(app, [*common, "--dry-run"]).stdout)
    assert planned["steps"] == 2
    assert not (tmp_path / "judge").exists()
    done = CliRunner().invoke(app, [*common, "--validation", str(rows[1]), "--objective", "listwise"])
    record = json.loads(done.stdout)
    assert record["options"]["objective"] == "listwise"
    assert record["data"]["train"]["tasks"] == 24
    assert {"auroc", "top_1", "random", "oracle", "brier"} <= set(record["validation"])
    shown = CliRunner().invoke(app, ["train", str(base), str(rows[0]), "-o", str(tmp_path / "judge")])
    assert shown.exit_code != 0
    assert "holds a finished training" in shown.output + shown.stderr
