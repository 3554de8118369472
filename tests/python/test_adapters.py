"""Adapters in a bundle: they share its weights, judge as their merged exports do, and are refused where they do not
fit. That their numbers are peft's: tests/conformance/test_adapter_parity.py."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from test_cli import done, read, refused, write
from test_export_lora import LINEARS, adapted
from transformers import LlamaForSequenceClassification

import gavel
from gavel.toolkit.adapter import adapt
from gavel.toolkit.bundle import read_manifest, verify
from gavel.toolkit.calibrate import calibrate
from gavel.toolkit.errors import BundleExistsError, ToolkitError, UnsupportedError
from gavel.toolkit.export import JudgeWording, export

ROOT = Path(__file__).resolve().parents[2]
TASK = gavel.Task('def double(x):\n    """Return twice x."""\n', "python")
CODES = ["    return 2 * x\n", "    return x\n", "    pass\n" * 20]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base's checkpoint and bundle, and two adapters for it: one on all linear layers, one on a few."""
    folder = tmp_path_factory.mktemp("adapters")
    model = tiny.model("llama", max_position_embeddings=1024)
    export(tiny.save(model, folder / "base"), folder / "base.gavel", precision="fp32")
    adapted(tiny.model("llama"), folder / "wide", target_modules=LINEARS)
    adapted(tiny.model("llama"), folder / "narrow", r=8, target_modules=["v_proj", "down_proj"])
    adapt(folder / "base.gavel", folder / "wide", judge=JudgeWording(trained=True, threshold=0.4))
    adapt(folder / "base.gavel", folder / "narrow", license="mit")
    return folder


@pytest.fixture
def bundle(made: Path) -> Path:
    return made / "base.gavel"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """To spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "copy.gavel"))


def judged(model: gavel.Model) -> list[float]:
    return [verdict.p_correct for verdict in gavel.Judge(model, "verbalizer").judge(TASK, CODES)]


def written(model: gavel.Model) -> list[str]:
    options = {"candidates": 3, "max_tokens": 12, "language_stops": False}
    return [each.raw for each in gavel.Generator(model).generate(TASK, **options)]


# ---- What an adapted model is ----------------------------------------------------------------------------------------


def test_adapted_models_are_what_their_merged_exports_are(made: Path, bundle: Path, tmp_path: Path) -> None:
    base = gavel.Model.open(bundle)
    alone = judged(base)
    for name in ("wide", "narrow"):
        merged = gavel.Model.open(export(made / "base", tmp_path / name, precision="fp32", adapter=made / name))
        model = base.adapted(name)
        assert judged(model) == pytest.approx(judged(merged), abs=1e-5)
        assert judged(model) != pytest.approx(alone, abs=1e-3)
        assert written(model) == written(merged)
    assert judged(base) == alone


def test_adapted_model_says_what_it_is(bundle: Path) -> None:
    base = gavel.Model.open(bundle)
    assert base.adapters == ("narrow", "wide")
    model = base.adapted("wide")
    assert model.name == "base-fp32+wide"
    assert model.digest == hashlib.sha256((bundle / "adapters/wide/adapter.json").read_bytes()).hexdigest()
    assert model.tokenizer_digest == base.tokenizer_digest
    assert model.manifest["lora"]["rank"] == 4 and set(model.manifest["lora"]["targets"]) == set(LINEARS)
    assert model.manifest["tokens"] == base.manifest["tokens"]
    judge = gavel.Judge(model)
    assert judge.info().trained and not gavel.Judge(base).info().trained
    verdicts = judge.judge(TASK, CODES)
    assert [v.decision for v in verdicts] == ["correct" if v.p_correct >= 0.4 else "wrong" for v in verdicts]
    assert base.adapted("narrow").manifest["provenance"]["license"] == "mit"
    for name in base.adapters:
        base.adapted(name).self_test()


def test_an_adapters_folder_opens_its_bundle(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = gavel.Model.open(bundle).adapted("wide")
    folder = bundle / "adapters/wide"
    opened = gavel.Model.open(folder, pin=model.digest, self_test=True, verify_weights=True)
    assert opened.name == model.name and judged(opened) == judged(model)
    monkeypatch.chdir(folder)
    assert gavel.Model.open(".").digest == model.digest
    with pytest.raises(gavel.CorruptBundle, match="pinned"):
        gavel.Model.open(folder, pin="0" * 64)
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    assert judged(gavel.Model.open(bundle).adapted(elsewhere)) == judged(model)


def test_an_adapter_outlives_its_base(bundle: Path) -> None:
    base = gavel.Model.open(bundle)
    expected = judged(base.adapted("wide"))
    model = base.adapted("wide")
    base.close()
    assert judged(model) == expected


def test_adding_an_adapter_changes_no_file_of_the_bundle(made: Path, copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    adapt(copy, made / "wide", name="third")
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before
    assert gavel.Model.open(copy).adapters == ("narrow", "third", "wide")


def test_an_adapter_is_calibrated_alone(copy: Path, tmp_path: Path) -> None:
    """The judge is the adapted model, and only the adapter's file changes."""
    folder = copy / "adapters" / "wide"
    codes = [f"    return x + {at}\n" for at in range(20)]
    with gavel.Model.open(copy) as model:
        logits = [each.logit for each in gavel.Judge(model.adapted("wide"), "verbalizer").judge(TASK, codes)]
    median = sorted(logits)[10]
    rows = tmp_path / "rows.jsonl"
    with rows.open("w") as lines:
        for at, (code, logit) in enumerate(zip(codes, logits, strict=True)):
            passed = logit >= median if at % 5 else logit < median  # mostly what the judge says
            row = {"task_id": f"t/{at}", "prompt": TASK.prompt, "language": "python"}
            lines.write(json.dumps(row | {"candidates": [{"code": code, "passed": passed}]}) + "\n")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    fit = calibrate(folder, rows, min_each=5)
    assert fit.judge == "base-fp32+wide:verbalizer" and fit.data.logits.tolist() == pytest.approx(logits, abs=1e-5)
    assert {path for path in before if path.read_bytes() != before[path]} == {folder / "adapter.json"}
    with gavel.Model.open(copy) as model:
        adapted = model.adapted("wide")
        adapted.self_test()
        point = gavel.Judge(adapted, "verbalizer").at_precision(0.1)
        assert point is not None and point.candidates == 20
        with pytest.raises(gavel.Unsupported):
            gavel.Judge(model, "verbalizer").at_precision(0.1)


def test_a_new_probe_or_prompt_keeps_adapters(copy: Path) -> None:
    """Only what decides the numbers is pinned."""
    manifest = json.loads((copy / "gavel.json").read_text())
    manifest["prompts"]["chat"] = [{"slot": "prompt"}]
    (copy / "gavel.json").write_text(json.dumps(manifest))
    assert gavel.Model.open(copy).adapted("wide").manifest["prompts"]["chat"] == [{"slot": "prompt"}]


def test_threads(bundle: Path) -> None:
    """A base and two adapters of it at work at once give what each gives alone, to the last bit."""
    base = gavel.Model.open(bundle)
    models = [base, base.adapted("wide"), base.adapted("narrow"), base.adapted("wide")]
    alone = [(judged(model), written(model)) for model in models]
    together: list[Any] = [None] * len(models)

    def work(i: int) -> None:
        for _ in range(5):
            together[i] = (judged(models[i]), written(models[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone and alone[1] == alone[3] and alone[0] != alone[1] != alone[2]


def test_adapter_of_a_classifier(tmp_path: Path) -> None:
    """One that leaves the head alone, and one that brings another of its own."""
    model = tiny.classifier({0: "wrong", 1: "correct"})
    assert isinstance(model, LlamaForSequenceClassification)
    checkpoint = tiny.save(model, tmp_path / "base")
    tiny.edit_config(checkpoint, max_position_embeddings=1024)
    bundle = export(checkpoint, tmp_path / "base.gavel", precision="fp32")
    adapted(model, tmp_path / "plain", target_modules=["q_proj"])
    adapted(tiny.classifier({0: "a", 1: "b"}), tmp_path / "head", task_type="SEQ_CLS", target_modules=["q_proj"])
    base = gavel.Model.open(bundle)
    for name in ("plain", "head"):
        adapt(bundle, tmp_path / name)
        merged = export(checkpoint, tmp_path / f"{name}.gavel", precision="fp32", adapter=tmp_path / name)
        expected = [verdict.p_correct for verdict in gavel.Judge(gavel.Model.open(merged)).judge(TASK, CODES)]
        found = [verdict.p_correct for verdict in gavel.Judge(base.adapted(name)).judge(TASK, CODES)]
        assert found == pytest.approx(expected, abs=1e-5)


def test_the_c_abi_knows_adapters(bundle: Path) -> None:
    done = subprocess.run([ROOT / "build/bin/test_capi", bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- Memory ----------------------------------------------------------------------------------------------------------

PEAK = """
import sys
import gavel

task = gavel.Task("def double(x):\\n", "python")
models = [gavel.Model.open(folder) for folder in sys.argv[1:2]]
models = [models[0].adapted(name) for name in sys.argv[2:]]
for model in models:
    gavel.Judge(model, "verbalizer").judge(task, ["    return 2 * x\\n", "    return x\\n"])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(1024 * int(status["VmHWM"].split()[0]))
"""


def peak(*arguments: object) -> int:
    """Highest resident memory of a process that judges with the named adapters of a bundle, in bytes."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_three_adapters_share_one_base(tmp_path: Path) -> None:
    """Three judges on one base stay below 1.2 times the memory of one; the base is large enough to tell."""
    sizes = {"hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 8, "num_hidden_layers": 4}
    model = tiny.model("llama", max_position_embeddings=1024, **sizes)
    bundle = export(tiny.save(model, tmp_path / "base"), tmp_path / "base.gavel", precision="fp32")
    adapted(model, tmp_path / "lora", r=16, target_modules=LINEARS)
    folder = adapt(bundle, tmp_path / "lora", name="a")
    for name in ("b", "c"):
        shutil.copytree(folder, folder.parent / name)
    one, three = peak(bundle, "a"), peak(bundle, "a", "b", "c")
    weights = (bundle / "weights.safetensors").stat().st_size
    assert one + 2 * weights > 1.4 * one  # what three bases would take
    assert three < 1.2 * one


# ---- Refusals --------------------------------------------------------------------------------------------------------


def test_an_adapter_for_another_base_is_refused(made: Path, bundle: Path, tmp_path: Path) -> None:
    other = tiny.save(tiny.model("llama", seed=5, max_position_embeddings=1024), tmp_path / "other")
    stranger = export(other, tmp_path / "other.gavel", precision="fp32")
    with pytest.raises(gavel.InvalidArgument) as refusal:
        gavel.Model.open(stranger).adapted(bundle / "adapters/wide")
    made_for = json.loads((bundle / "adapters/wide/adapter.json").read_text())["base"]["digest"]
    assert made_for in str(refusal.value) and "gavel adapt" in str(refusal.value)
    adapt(stranger, made / "wide")
    own = json.loads((stranger / "adapters/wide/adapter.json").read_text())["base"]["digest"]
    assert own in str(refusal.value)


def test_names_that_are_no_adapters(bundle: Path) -> None:
    base = gavel.Model.open(bundle)
    with pytest.raises(gavel.NotFound, match="has narrow, wide"):
        base.adapted("third")
    with pytest.raises(gavel.NotFound):
        base.adapted("no/such/folder")
    with pytest.raises(gavel.InvalidArgument, match="name_or_folder is empty"):
        base.adapted("")
    with pytest.raises(gavel.InvalidArgument, match="adapted already"):
        base.adapted("wide").adapted("narrow")


def test_altered_files_are_named(copy: Path, flip: Callable[[Path, int], None]) -> None:
    folder = copy / "adapters/wide"
    flip(folder / "adapter.safetensors", -1)
    with pytest.raises(gavel.CorruptBundle, match=r"adapter\.safetensors has SHA-256"):
        gavel.Model.open(folder)
    (folder / "adapter.safetensors").unlink()
    with pytest.raises(gavel.NotFound, match=r"adapter\.safetensors"):
        gavel.Model.open(folder)
    (folder / "adapter.json").write_text("{}")
    with pytest.raises(gavel.CorruptBundle, match=r"adapter\.json: format is missing"):
        gavel.Model.open(folder)


QKV_A, QKV_B = "layers.0.qkv.lora_a", "layers.0.qkv.lora_b.2"
SPOILT: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "NaN": (lambda t: t[QKV_A].fill_(float("nan")), f"tensor {QKV_A} holds NaN"),
    "inputs": (lambda t: t.update({QKV_A: t[QKV_A][:, :-1].contiguous()}), r"lora_a is \[12, 63\], .* \[rank, 64\]"),
    "rows": (lambda t: t.update({QKV_B: t[QKV_B][:-1].contiguous()}), "has 127 rows of rank 12 in all, .* 128 of 12"),
    "rank": (lambda t: t.update({QKV_A: t[QKV_A][:-1].contiguous()}), "128 rows of rank 12 in all, .* 128 of 11"),
    "one piece": (lambda t: t.pop(QKV_B), "qkv.lora_b has 96 rows"),
    "type": (lambda t: t.update({QKV_A: t[QKV_A].half()}), f"tensor {QKV_A} is F16, expected F32"),
    "no a": (lambda t: t.pop(QKV_A), "tensor layers.0.qkv.lora_b.0 belongs nowhere"),
    "layer": (lambda t: t.update({"layers.9.qkv.lora_a": t[QKV_A].clone()}), "layers.9.qkv is no layer"),
    "norm": (lambda t: t.update({"norm.lora_a": t[QKV_A].clone()}), "norm is no linear layer"),
    "head": (lambda t: t.update({"score.weight": torch.zeros(2, 64)}), "score.weight is"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_tensors_that_do_not_fit_are_named(what: str, copy: Path) -> None:
    """Though their hash is right."""
    change, message = SPOILT[what]
    file, description = copy / "adapters/wide/adapter.safetensors", copy / "adapters/wide/adapter.json"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    said = json.loads(description.read_text())
    entry = {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    description.write_text(json.dumps(said | {"files": {file.name: entry}}))
    with pytest.raises(gavel.CorruptBundle, match=message):
        gavel.Model.open(copy).adapted("wide")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"use_dora": True, "target_modules": ["q_proj"]}, "DoRA"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["lm_head"]}, "lm_head"),
        ({"bias": "all", "target_modules": ["q_proj"]}, "trained biases"),
    ],
)
def test_other_adapters_are_refused_by_name(settings: Any, message: str, bundle: Path, tmp_path: Path) -> None:
    adapted(tiny.model("llama"), tmp_path / "lora", **settings)
    with pytest.raises(UnsupportedError, match=message):
        adapt(bundle, tmp_path / "lora")
    assert not (bundle / "adapters/lora").exists()


def test_adapters_of_other_shapes_are_refused(bundle: Path, tmp_path: Path) -> None:
    adapted(tiny.model("llama", num_hidden_layers=3), tmp_path / "deep", target_modules=["q_proj"])
    with pytest.raises(ToolkitError, match="layers.2.self_attn.q_proj.weight, which base-fp32 does not have"):
        adapt(bundle, tmp_path / "deep")
    adapted(tiny.model("llama", intermediate_size=128), tmp_path / "broad", target_modules=["up_proj"])
    with pytest.raises(ToolkitError, match=r"up_proj.weight is \[128, 4\] x \[4, 64\], the model's \[96, 64\]"):
        adapt(bundle, tmp_path / "broad")
    adapted(tiny.model("llama"), tmp_path / "nan", target_modules=["q_proj"])
    file = tmp_path / "nan/adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, file)
    with pytest.raises(ToolkitError, match="NaN"):
        adapt(bundle, tmp_path / "nan")
    assert gavel.Model.open(bundle).adapters == ("narrow", "wide")


def test_an_adapter_that_is_there_is_kept(made: Path, copy: Path) -> None:
    before = (copy / "adapters/wide/adapter.json").read_bytes()
    with pytest.raises(BundleExistsError, match="--force"):
        adapt(copy, made / "wide")
    assert (copy / "adapters/wide/adapter.json").read_bytes() == before
    adapt(copy, made / "wide", force=True)
    assert (copy / "adapters/wide/adapter.json").read_bytes() != before
    for name in ("", "..", ".hidden", "a/b", "a b"):
        with pytest.raises(ToolkitError, match="no adapter's name"):
            adapt(copy, made / "wide", name=name)


def test_a_bundle_of_an_earlier_version_is_refused(made: Path, copy: Path) -> None:
    manifest = read_manifest(copy)
    del manifest["checkpoint"]
    (copy / "gavel.json").write_text(json.dumps(manifest))
    with pytest.raises(ToolkitError, match="earlier version of gavel; export it again"):
        adapt(copy, made / "wide", name="third")


def test_an_encoder_is_refused(made: Path, copy: Path) -> None:
    (copy / "gavel.json").write_text(json.dumps(read_manifest(copy) | {"kind": "encoder"}))
    with pytest.raises(UnsupportedError, match="is an encoder; adapters are for decoders"):
        adapt(copy, made / "wide", name="third")


def test_a_damaged_base_is_not_adapted(made: Path, copy: Path, flip: Callable[[Path, int], None]) -> None:
    flip(copy / "weights.safetensors", -1)
    with pytest.raises(ToolkitError, match=r"weights\.safetensors has SHA-256"):
        adapt(copy, made / "wide", name="third")


# ---- The command line ------------------------------------------------------------------------------------------------


def test_adapt_says_where(made: Path, copy: Path) -> None:
    command = ("adapt", copy, made / "narrow", "--name", "strict")
    folder = Path(done(*command, "--threshold", 0.7, "--trained", "--license", "mit").stdout.strip())
    assert folder == copy / "adapters/strict"
    said = json.loads((folder / "adapter.json").read_text())
    assert said["judge"]["threshold"] == 0.7 and said["judge"]["trained"] and said["provenance"]["license"] == "mit"
    assert "already there" in refused(*command)
    assert json.loads(done(*command, "--force", "--json").stdout) == {"adapter": str(folder)}


def test_inspect_lists_and_verifies_adapters(copy: Path, flip: Callable[[Path, int], None]) -> None:
    shown = done("inspect", copy, "--verify").stdout
    assert "adapter wide" in shown and "adapter narrow" in shown and "rank 8" in shown
    assert set(json.loads(done("inspect", copy, "--json").stdout)["adapters"]) == {"narrow", "wide"}
    shown = done("inspect", copy / "adapters/wide", "--verify").stdout
    assert "base-fp32+wide" in shown and "LoRA of rank 4" in shown
    flip(copy / "adapters/wide/adapter.safetensors", -1)
    assert "adapter.safetensors" in refused("inspect", copy, "--verify")
    verify(copy)


def test_a_team_opens_its_base_once(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    plain = gavel.Model.open.__func__  # type: ignore[attr-defined]

    def counting(cls: Any, folder: Any, **options: Any) -> Any:
        opened.append(folder)
        return plain(cls, folder, **options)

    monkeypatch.setattr(gavel.Model, "open", classmethod(counting))
    row = {"task_id": "1", "prompt": TASK.prompt, "language": "python"}
    tasks = write(tmp_path / "tasks.jsonl", [row])
    rows = write(tmp_path / "rows.jsonl", [row | {"candidates": [{"code": code} for code in CODES]}])
    wide, narrow = bundle / "adapters/wide", bundle / "adapters/narrow"
    team = ("-j", wide, "-j", f"{narrow}:verbalizer", "-j", f"{bundle}:verbalizer")
    done("solve", tasks, "-o", tmp_path / "solved.jsonl", "-g", bundle, *team, "-n", 3, "--max-tokens", 8)
    assert len(opened) == 1
    done("judge", rows, "-o", tmp_path / "judged.jsonl", *team)
    done("rank", rows, "-o", tmp_path / "ranked.jsonl", *team)
    assert len(opened) == 3
    base = gavel.Model.open(bundle)
    expected = [judged(model) for model in (base.adapted("wide"), base.adapted("narrow"), base)]
    for name in ("judged", "ranked"):
        candidates = read(tmp_path / f"{name}.jsonl")[0]["candidates"]
        for i, of_model in enumerate(expected):
            assert [each["verdicts"][i]["p_correct"] for each in candidates] == pytest.approx(of_model, abs=1e-6)
    done("generate", tasks, "-o", tmp_path / "made.jsonl", "-g", wide, "-n", 2, "--max-tokens", 4)
