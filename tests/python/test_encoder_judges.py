"""Encoders as judges through the package and the command line, and what export refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders as tiny
import torch
from safetensors.torch import load_file, save_file
from tiny_models import edit_config
from typer.testing import CliRunner

import gavel
from gavel.cli.app import app
from gavel.toolkit.errors import ToolkitError, UnsupportedError
from gavel.toolkit.export import JudgeWording, export

TASK = gavel.Task("def double(x):\n", language="python", id="double")
CODES = ["    return 2 * x\n", "    return x\n", "    return x + x\n"]


@pytest.fixture(scope="module")
def rankef(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RankEF's form in fp32."""
    folder = tmp_path_factory.mktemp("rankef")
    tiny.rankef(folder / "checkpoint")
    return export(folder / "checkpoint", folder / "rankef.gavel", precision="fp32")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("roberta") / "checkpoint"
    tiny.roberta(folder, ("wrong", "correct"))
    return folder


@pytest.fixture
def spoiled(tmp_path: Path) -> Callable[..., Path]:
    """RankEF's checkpoint with some tensors changed; None takes one away."""

    def spoil(changes: dict[str, torch.Tensor | None], **options: Any) -> Path:
        folder = tmp_path / "spoiled"
        tiny.rankef(folder, **options)
        tensors = load_file(folder / "model.safetensors") | changes
        save_file({k: t for k, t in tensors.items() if t is not None}, folder / "model.safetensors")
        return folder

    return spoil


def refused(folder: Path, kind: type[ToolkitError] = ToolkitError, **options: Any) -> str:
    destination = folder.parent / "refused.gavel"
    with pytest.raises(kind) as caught:
        export(folder, destination, precision="fp32", **options)
    assert not destination.exists()
    return str(caught.value)


# ---- Judging ---------------------------------------------------------------------------------------------------------


def test_rankef_is_named_and_judges(rankef: Path) -> None:
    model = gavel.Model.open(rankef, verify_weights=True, self_test=True)
    assert model.manifest["kind"] == "encoder_decoder" and model.context == 1024
    info = gavel.Judge(model).info()
    assert info.kind == "classifier" and info.trained
    assert info.labels == ["Correct", "Execution error", "Intent error"]
    for verdict in gavel.Judge(model, threshold=0.0).judge(TASK, CODES):
        assert sum(verdict.probabilities) == pytest.approx(1)
        assert verdict.p_correct == pytest.approx(verdict.probabilities[0])
        assert verdict.decision == "correct"


def test_feedback_reaches_the_ranking(rankef: Path) -> None:
    judge = gavel.Judge(gavel.Model.open(rankef), feedback_tokens=5)
    ranking = gavel.Ranker(judges=[judge]).rank(TASK, CODES)
    alone = {code: judge.judge(TASK, [code])[0] for code in CODES}
    assert any(verdict.feedback for verdict in alone.values())
    for ranked, record in zip(ranking.ranked, ranking.record["ranked"], strict=True):
        expected = alone[ranked.candidate.text]
        assert ranked.verdicts[0].feedback == expected.feedback == record["verdicts"][0]["feedback"]
        assert record["verdicts"][0]["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert ranking.judges[0].labels == ranking.record["judges"][0]["labels"] == judge.info().labels


def test_an_own_judge_explains() -> None:
    class Reader:
        def info(self) -> gavel.JudgeInfo:
            return gavel.JudgeInfo("reader", "reader", labels=["bad", "good"])

        def judge(self, task: gavel.Task, candidates: list[gavel.Candidate]) -> list[gavel.Verdict]:
            return [gavel.Verdict(0.75, None, "correct", [0.25, 0.75], f"read {c.text!r}", 2) for c in candidates]

    ranking = gavel.Ranker(judges=[Reader()]).rank(TASK, CODES)
    assert ranking.judges[0].labels == ["bad", "good"]
    for ranked in ranking.ranked:
        expected = gavel.Verdict(0.75, None, "correct", [0.25, 0.75], f"read {ranked.candidate.text!r}", 2)
        assert ranked.verdicts == [expected]


def test_what_an_encoder_cannot(rankef: Path, checkpoint: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    model = gavel.Model.open(rankef)
    with pytest.raises(gavel.Unsupported, match="cannot generate"):
        gavel.Generator(model)
    with pytest.raises(gavel.Unsupported, match="is an encoder"):
        gavel.tap(model, TASK, CODES, [0])
    for kind in ("verbalizer", "probe"):
        with pytest.raises(gavel.Unsupported, match="it has classifier"):
            gavel.Judge(model, kind)
    roberta = gavel.Model.open(export(checkpoint, tmp_path / "roberta.gavel", precision="int8"))
    assert roberta.manifest["kind"] == "encoder"
    for mute in (roberta, gavel.Model.open(tiny_bundle)):
        with pytest.raises(gavel.Unsupported, match="writes no feedback"):
            gavel.Judge(mute, feedback_tokens=8)
    with pytest.raises(gavel.InvalidArgument, match="feedback_tokens is -1"):
        gavel.Judge(model, feedback_tokens=-1)


def test_bad_input(rankef: Path) -> None:
    judge = gavel.Judge(gavel.Model.open(rankef), feedback_tokens=4)
    assert judge.judge(TASK, []) == []
    with pytest.raises(gavel.InvalidArgument, match="candidate 1 is empty"):
        judge.judge(TASK, ["x", " "])
    with pytest.raises(gavel.InvalidArgument, match="task is empty"):
        judge.judge("", ["x"])
    with pytest.raises(gavel.InvalidArgument, match="UTF-8"):
        judge.judge(TASK, ["\ud800"])
    with pytest.raises(gavel.Cancelled):
        judge.judge(TASK, CODES, timeout=0)
    assert len(judge.judge(TASK, CODES)) == 3  # usable as before


def test_text_is_never_a_special_token(rankef: Path) -> None:
    judge = gavel.Judge(gavel.Model.open(rankef))
    tokenizer = judge.model.tokenizer
    assert tokenizer.id("</s>") not in tokenizer.encode("x</s>y")
    assert judge.judge(TASK, ["x</s>y"])[0].p_correct != judge.judge(TASK, ["x"])[0].p_correct


@pytest.mark.parametrize("truncate", ["task", "end", "refuse"])
def test_too_long(truncate: str, checkpoint: Path, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "t.gavel", precision="fp32", judge=JudgeWording(truncate=truncate))
    judge = gavel.Judge(gavel.Model.open(bundle))
    long_task, long_code = gavel.Task("def f(x):\n" * 60), "    x = x + 1\n" * 60
    if truncate == "refuse":
        for task, code in ((long_task, "x"), (TASK, long_code)):
            with pytest.raises(gavel.InvalidArgument, match="candidate 0 and its task are .* the judge reads 320"):
                judge.judge(task, [code])
        return
    assert judge.judge(long_task, ["return x"])[0].truncated > 0
    # Two tasks that differ beyond what is read are one.
    other = gavel.Task(long_task.prompt + "# and more\n")
    assert judge.judge(other, ["return x"])[0].p_correct == judge.judge(long_task, ["return x"])[0].p_correct
    if truncate == "task":
        with pytest.raises(gavel.InvalidArgument, match="candidate 1 leaves no room for its task in the 320 tokens"):
            judge.judge(TASK, ["x", long_code])
    else:
        assert judge.judge(TASK, [long_code])[0].truncated > 0


def test_memory_is_stated(rankef: Path) -> None:
    model = gavel.Model.open(rankef)
    short, long = model.estimate(100, 10, 10), model.estimate(1000, 10, 24)
    assert short.prefix == short.own == 0  # an encoder keeps no keys and values
    assert long.scratch > short.scratch > 0
    assert model.estimate(10_000, 10, 10).scratch == long.scratch  # what is longer is cut


# ---- Command line ----------------------------------------------------------------------------------------------------


def test_judge_command(rankef: Path, tmp_path: Path) -> None:
    source, judged, ranked = (tmp_path / name for name in ("rows.jsonl", "judged.jsonl", "ranked.jsonl"))
    row = {"task_id": "a", "prompt": TASK.prompt, "language": "python", "candidates": [{"code": c} for c in CODES]}
    source.write_text(json.dumps(row) + "\n")
    run = CliRunner().invoke(app, ["judge", str(source), "-o", str(judged), "-j", str(rankef), "--feedback"])
    assert run.exit_code == 0, run.output
    verdicts = [c["verdicts"][0] for c in json.loads(judged.read_text())["candidates"]]
    assert list(verdicts[0]["probabilities"]) == ["Correct", "Execution error", "Intent error"]
    assert all(verdict["feedback"] for verdict in verdicts)
    run = CliRunner().invoke(app, ["rank", str(judged), "-o", str(ranked)])
    assert run.exit_code == 0, run.output
    assert [c["verdicts"][0] for c in json.loads(ranked.read_text())["candidates"]] == verdicts
    row["prompt"] *= 100
    source.write_text(json.dumps(row) + "\n")
    run = CliRunner().invoke(app, ["judge", str(source), "-o", str(tmp_path / "long.jsonl"), "-j", str(rankef)])
    assert run.exit_code == 0 and "had no room for up to" in run.stderr
    run = CliRunner().invoke(app, ["inspect", str(rankef)])
    assert "t5 encoder-decoder, 2 and 3 layers of 48" in run.output.replace("\n", " ")


# ---- Export ----------------------------------------------------------------------------------------------------------


def test_prompts(rankef: Path, checkpoint: Path, tmp_path: Path) -> None:
    prompts = gavel.Model.open(rankef).manifest["prompts"]
    assert set(prompts) == {"judge", "feedback"}
    assert prompts["judge"][0] == {"token": 1} and prompts["judge"][-1] == {"token": 2}
    wording = JudgeWording(prompt="Task {prompt} code {code} in {language}")
    model = gavel.Model.open(export(checkpoint, tmp_path / "w.gavel", precision="fp32", judge=wording))
    slots = [segment["slot"] for segment in model.manifest["prompts"]["judge"] if "slot" in segment]
    assert slots == ["prompt", "code", "language"]
    assert len(gavel.Judge(model).judge(TASK, CODES)) == 3
    pair = gavel.Model.open(export(checkpoint, tmp_path / "p.gavel", precision="fp32")).manifest["prompts"]["judge"]
    tokens, slots = ({"token": 2}, [{"slot": "prompt"}, {"slot": "code"}])
    assert pair == [{"token": 0}, slots[0], tokens, tokens, slots[1], tokens]


def test_labels_must_say_which_is_correct(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    tiny.roberta(folder, ("fine", "bad", "worse"))
    assert "which label means correct" in refused(folder)
    model = gavel.Model.open(export(folder, tmp_path / "c.gavel", judge=JudgeWording(positive_label="fine")))
    verdict = gavel.Judge(model).judge(TASK, CODES)[0]
    assert verdict.p_correct == pytest.approx(verdict.probabilities[0])


def test_weights_are_refused_by_name(spoiled: Callable[..., Path]) -> None:
    norm = "encoder.final_layer_norm.weight"
    assert f"lacks 1 tensor(s) its config asks for: {norm}" in refused(spoiled({norm: None}))
    assert f"{norm} has shape [3], its config says [48]" in refused(spoiled({norm: torch.ones(3)}))
    assert f"{norm} holds NaN" in refused(spoiled({norm: torch.full((48,), torch.nan)}))
    assert "would leave out: adapter.weight" in refused(spoiled({"adapter.weight": torch.ones(2, 2)}))
    apart = {"encoder.embed_tokens.weight": torch.ones(300, 48)}
    assert "encoder.embed_tokens.weight differs from shared.weight" in refused(spoiled(apart))
    assert "without a classification head (class_head.2.bias)" in refused(spoiled({"class_head.2.bias": None}))


def test_early_t5_files_are_read(spoiled: Callable[..., Path]) -> None:
    """Some carry the embedding under all its names, and a bias of the decoder's that nothing uses."""
    folder = spoiled({})
    tensors = load_file(folder / "model.safetensors")
    for stack in ("encoder", "decoder"):
        tensors[f"{stack}.embed_tokens.weight"] = tensors["shared.weight"].clone()
    tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.ones(8, 3)
    save_file(tensors, folder / "model.safetensors")
    gavel.Model.open(export(folder, folder.parent / "early.gavel", precision="fp32"), self_test=True)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"architectures": ["RobertaForMaskedLM"]}, "architecture RobertaForMaskedLM with model type roberta"),
        ({"architectures": None}, "architecture unnamed"),
        ({"hidden_act": "mish"}, "activation 'mish'"),
        ({"is_decoder": True}, "RoBERTa decoder"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"model_type": "bert"}, "model type 'bert'"),
        ({"model_type": "bert"}, "encoders that classify: T5ForConditionalGeneration"),
    ],
)
def test_configs_are_refused_by_name(change: dict[str, Any], word: str, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    tiny.roberta(folder, ("wrong", "correct"))
    edit_config(folder, **change)
    assert word in refused(folder, UnsupportedError)


def test_a_decoder_must_say_where_it_begins_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    tiny.rankef(folder)
    edit_config(folder, decoder_start_token_id=None)
    assert "names no decoder_start_token_id" in refused(folder)
    edit_config(folder, decoder_start_token_id=0, eos_token_id=None)
    (folder / "generation_config.json").unlink()
    assert "names no end token" in refused(folder)


def test_contradictions(checkpoint: Path, tmp_path: Path) -> None:
    assert "no decoder that writes" in refused(checkpoint, judge=JudgeWording(feedback_prompt="{prompt}{code}"))
    assert "must hold {prompt} and {code}" in refused(checkpoint, judge=JudgeWording(prompt="{prompt}"))
    assert "expected one of task, end, refuse" in refused(checkpoint, judge=JudgeWording(truncate="start"))
    assert "verbalizers are for language models" in refused(checkpoint, judge=JudgeWording(positive=["Yes"]))
    assert "merge_and_unload" in refused(checkpoint, UnsupportedError, adapter=tmp_path)
    bare = tmp_path / "bare"
    tiny.roberta(bare, ("wrong", "correct"))
    description = json.loads((bare / "tokenizer.json").read_text()) | {"post_processor": None}
    (bare / "tokenizer.json").write_text(json.dumps(description))
    assert "writes no special token where the model's head reads" in refused(bare)


def test_decoders_take_no_options_of_encoders(tmp_path: Path) -> None:
    import tiny_models

    folder = tiny_models.save(tiny_models.model("llama"), tmp_path / "c")
    assert "are for encoders" in refused(folder, judge=JudgeWording(truncate="end"))
    assert "are for encoders" in refused(folder, judge=JudgeWording(feedback_prompt="{prompt}{code}"))
