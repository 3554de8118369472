"""A checkpoint's tensors in a bundle: layout, precision, the families' variants, and what is refused."""

from __future__ import annotations

import functools
import itertools
import json
import os
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gavel._ffi import library_path
from gavel.toolkit import export as export_module
from gavel.toolkit import selftest, tensors
from gavel.toolkit.architecture import decoder_config, rope_tables
from gavel.toolkit.bundle import read_manifest, verify
from gavel.toolkit.errors import BundleExistsError, ToolkitError, UnsupportedError
from gavel.toolkit.export import JudgeWording, export
from gavel.toolkit.quantize import dequantize, quantize
from gavel.toolkit.reference import Reference
from gavel.toolkit.sources import open_source


@pytest.fixture
def scripted() -> None:
    """For the tests that are about the program itself."""
    if not os.path.exists(library_path()):
        pytest.skip("libgavel.so, whose operators the program names, is not built: cmake --build build")


@pytest.fixture(autouse=True)
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others do without scripting, which takes longer than all the rest."""
    if "scripted" not in request.fixturenames:
        monkeypatch.setattr(export_module, "program_bytes", lambda build: b"program")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tiny.model("llama"), tmp_path / "tiny")


def read_weights(bundle: Path) -> dict[str, torch.Tensor]:
    return load_file(bundle / "weights.safetensors")


def test_quantised_tiles_are_the_rows_in_order() -> None:
    weight = torch.randn(37, 70)
    weight[5] = 0
    tiles, scale = quantize(weight)
    assert tiles.shape == (3, 32, 16, 4)
    assert tiles.dtype == torch.int8
    torch.testing.assert_close(scale, weight.abs().amax(1) / 127)
    for n in range(48):
        for k in range(128):
            found = int(tiles[n // 16, k // 4, n % 16, k % 4])
            if n >= 37 or k >= 70 or n == 5:
                assert found == 0
            else:
                assert found == round(float(weight[n, k] / scale[n]))
    error = (dequantize(tiles, scale, 70) - weight).abs()
    assert (error <= scale[:, None] / 2 + 1e-7).all()


def test_quantising_does_not_change_the_weight_it_is_given() -> None:
    weight = torch.randn(16, 64)
    before = weight.clone()
    quantize(weight)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_variant_exports(variant: str, precision: str, tmp_path: Path) -> None:
    made = tiny.model(variant)
    tiny.save(made, tmp_path / "tiny")
    bundle = export(tmp_path / "tiny", tmp_path / "out.gavel", precision=precision)
    verify(bundle)
    manifest, weights = read_manifest(bundle), read_weights(bundle)
    config = decoder_config(json.loads((tmp_path / "tiny" / "config.json").read_text()))
    assert {name: (t.dtype, tuple(t.shape)) for name, t in weights.items()} == tensors.layout(config, precision)
    assert manifest["architecture"]["tied"] == made.config.tie_word_embeddings
    state = made.state_dict()
    attention = "model.layers.1.self_attn"
    qkv = torch.cat([state[f"{attention}.{part}_proj.weight"] for part in "qkv"])
    found = weights["layers.1.qkv.weight"]
    if precision == "int8":
        found = dequantize(found, weights["layers.1.qkv.scale"], qkv.shape[1])
    torch.testing.assert_close(found, qkv, atol=4e-3 if precision == "int8" else 0, rtol=0)
    if f"{attention}.q_proj.bias" in state:
        bias = torch.cat([state[f"{attention}.{part}_proj.bias"] for part in "qkv"])
        assert torch.equal(weights["layers.1.qkv.bias"], bias)
    assert torch.equal(weights["layers.0.attention_norm.weight"], state["model.layers.0.input_layernorm.weight"])
    torch.testing.assert_close(weights["rope.frequencies"], made.model.rotary_emb.inv_freq[None])
    reference = Reference(open_source(tmp_path / "tiny"), precision)
    # The self-test holds what the model itself says.
    for case in manifest["selftest"]:
        if precision == "int8":
            logits = reference.logits([case["ids"]])[0]
        else:
            logits = made(torch.tensor([case["ids"]])).logits[0, -1]
        expected = torch.tensor(case["logits"]["values"])
        torch.testing.assert_close(logits[case["logits"]["ids"]], expected, atol=1e-4, rtol=0)
        assert set(case["logits"]["ids"]) == set(logits.topk(8).indices.tolist())


@pytest.mark.parametrize("precision, dtype", [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precisions_keep_norms_biases_and_frequencies_in_float32(
    precision: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    tiny.save(tiny.model("qwen2"), tmp_path / "tiny")
    weights = read_weights(export(tmp_path / "tiny", tmp_path / "out.gavel", precision=precision))
    for name, tensor in weights.items():
        matrix = name.endswith("weight") and "norm" not in name
        assert tensor.dtype == (dtype if matrix else torch.float32), name


def test_weights_are_aligned_and_without_gaps(tmp_path: Path) -> None:
    tiny.save(tiny.model("llama-head-dim"), tmp_path / "tiny")  # its frequencies take 16 bytes
    path = export(tmp_path / "tiny", tmp_path / "out.gavel", precision="int8") / "weights.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert (8 + size) % 64 == 0
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert spans[0][0] == 0 and 8 + size + spans[-1][1] == len(data)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin % (64 if (end - begin) % 64 == 0 else 4) == 0, name
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(header)


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("variant", ["llama", "llama-untied", "qwen2"])
def test_program_asks_for_the_bundles_tensors(variant: str, tmp_path: Path) -> None:
    tiny.save(tiny.model(variant), tmp_path / "tiny")
    bundle = export(tmp_path / "tiny", tmp_path / "out.gavel", precision="int8")
    torch.ops.load_library(library_path())
    program = torch.jit.load(bundle / "program.pt", map_location="meta")
    weights = read_weights(bundle)
    biases = {name for name in weights if name.endswith("bias")}  # optional, so attributes that scripting lists nowhere
    assert set(program.state_dict()) == set(weights) - biases
    for name, tensor in weights.items():
        assert functools.reduce(getattr, name.split("."), program).shape == tensor.shape
    assert (bundle / "program.pt").stat().st_size < 1_000_000


@pytest.mark.parametrize("rope", [tiny.LLAMA3, tiny.LINEAR])
def test_older_rope_keys_mean_the_same(rope: dict, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("rope_parameters")
    scaling = {"type" if key == "rope_type" else key: value for key, value in rope.items() if key != "rope_theta"}
    older = config | {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    newer = config | {"rope_parameters": rope}
    plain = config | {"rope_theta": rope["rope_theta"]}
    assert torch.equal(rope_tables(older)[0], rope_tables(newer)[0])
    assert not torch.equal(rope_tables(older)[0], rope_tables(plain)[0])
    assert decoder_config(older) == decoder_config(newer)


def test_sharded_checkpoint_is_the_same(folder: Path, tmp_path: Path) -> None:
    sharded = tiny.save(tiny.model("llama"), tmp_path / "sharded", shard="100KB")
    assert (sharded / "model.safetensors.index.json").is_file()
    one, many = open_source(folder), open_source(sharded)
    assert one.shapes() == many.shapes()
    for name in one.shapes():
        assert torch.equal(one.tensor(name), many.tensor(name))


def test_manifest_says_where_the_bundle_comes_from(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nbase_model:\n- org/base\n---\n# Tiny\n")
    manifest = read_manifest(export(folder, tmp_path / "out.gavel", name="mine"))
    assert manifest["name"] == "mine"
    provenance = manifest["provenance"]
    assert provenance["license"] == "apache-2.0" and provenance["base"] == "org/base"
    assert provenance["source"] == "tiny" and str(tmp_path) not in json.dumps(manifest)
    assert manifest["tokens"] == {"bos": None, "stop": [2, 0]}
    assert manifest["tokenizer"] == {"file": "tokenizer.json", "type": "bpe", "size": tiny.tokenizer().get_vocab_size()}


def test_progress_rises_to_one(folder: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    export(folder, tmp_path / "out.gavel", progress=lambda stage, done: seen.append(done))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_existing_destination_is_kept_unless_forced(folder: Path, tmp_path: Path) -> None:
    bundle = export(folder, tmp_path / "out.gavel", precision="fp32")
    with pytest.raises(BundleExistsError, match="--force"):
        export(folder, bundle)
    assert read_manifest(bundle)["precision"] == "fp32"
    export(folder, bundle, force=True)
    assert read_manifest(bundle)["precision"] == "int8"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleExistsError, match="is no bundle"):
        export(folder, tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_nothing_is_left_where_export_fails(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "write_weights", full)
    out = tmp_path / "out"
    with pytest.raises(ToolkitError, match="No space left on device"):
        export(folder, out / "b.gavel")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}, "gpt_neox"),
        ({"architectures": ["LlamaForTokenClassification"]}, "LlamaForTokenClassification"),
        ({"hidden_act": "relu6"}, "relu6"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None}, "dynamic"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            "partial rotary",
        ),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
    ],
)
def test_unsupported_checkpoints_are_refused_by_name(change: dict, message: str, folder: Path, tmp_path: Path) -> None:
    tiny.edit_config(folder, **change)
    with pytest.raises(UnsupportedError, match=message) as refusal:
        export(folder, tmp_path / "out.gavel")
    assert "supported: architectures LlamaForCausalLM" in str(refusal.value)


def edit_weights(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


K_PROJ = "model.layers.1.self_attn.k_proj.weight"


def test_missing_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    edit_weights(folder, lambda weights: weights.pop(K_PROJ))
    with pytest.raises(ToolkitError, match=f"lacks 1 .*{K_PROJ}"):
        export(folder, tmp_path / "out.gavel")


def test_mis_shaped_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    edit_weights(folder, lambda weights: weights.update({K_PROJ: torch.zeros(8, 64)}))
    with pytest.raises(ToolkitError, match=rf"{K_PROJ} has shape \[8, 64\], its config says \[32, 64\]"):
        export(folder, tmp_path / "out.gavel")


def test_tensor_the_decoder_would_leave_out_is_named(folder: Path, tmp_path: Path) -> None:
    edit_weights(folder, lambda weights: weights.update({"model.layers.0.self_attn.q_norm.weight": torch.ones(16)}))
    with pytest.raises(ToolkitError, match="q_norm"):
        export(folder, tmp_path / "out.gavel")


def test_not_a_number_is_named(folder: Path, tmp_path: Path) -> None:
    def poison(weights: dict[str, torch.Tensor]) -> None:
        weights[K_PROJ][3, 4] = float("nan")

    edit_weights(folder, poison)
    with pytest.raises(ToolkitError, match=f"{K_PROJ} holds NaN"):
        export(folder, tmp_path / "out.gavel")
    assert not (tmp_path / "out.gavel").exists()


def test_overflow_in_half_precision_is_named(folder: Path, tmp_path: Path) -> None:
    def enlarge(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] = 1e5  # stays in float32
        weights[K_PROJ][0, 0] = 1e5

    edit_weights(folder, enlarge)
    with pytest.raises(ToolkitError, match="layers.1.qkv.weight overflows fp16"):
        export(folder, tmp_path / "out.gavel", precision="fp16")


def test_tokenizer_of_a_larger_model_is_refused(folder: Path, tmp_path: Path) -> None:
    small = tiny.model("llama", vocab_size=200)
    small.save_pretrained(folder)
    with pytest.raises(ToolkitError, match="the tokenizer belongs to another model"):
        export(folder, tmp_path / "out.gavel")


def test_bad_sources_and_options_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="precision 'int4' is not one of fp32, bf16, fp16, int8"):
        export(folder, tmp_path / "out.gavel", precision="int4")
    with pytest.raises(ToolkitError, match="is not there"):
        export(tmp_path / "nowhere", tmp_path / "out.gavel")
    with pytest.raises(ToolkitError, match="no config.json"):
        export(tmp_path, tmp_path / "out.gavel")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ToolkitError, match="the download may be incomplete"):
        export(folder, tmp_path / "out.gavel")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ToolkitError, match="save_pretrained"):
        export(folder, tmp_path / "out.gavel")


def test_shard_index_cannot_reach_outside_the_folder(folder: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "other.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ToolkitError, match="which is not in"):
        export(folder, tmp_path / "out.gavel")


def test_classifier(tmp_path: Path) -> None:
    made = tiny.classifier({0: "wrong", 1: "correct"})
    tiny.save(made, tmp_path / "tiny")
    bundle = export(tmp_path / "tiny", tmp_path / "out.gavel", precision="fp32")
    manifest, weights = read_manifest(bundle), read_weights(bundle)
    assert manifest["head"] == {"type": "classifier", "labels": ["wrong", "correct"], "positive": 1}
    assert manifest["judge"]["type"] == "classifier" and manifest["judge"]["trained"]
    assert "positive" not in manifest["judge"]
    assert torch.equal(weights["score.weight"], made.score.weight)
    case = manifest["selftest"][0]
    logits = made(torch.tensor([case["ids"]])).logits[0]
    torch.testing.assert_close(logits[case["logits"]["ids"]], torch.tensor(case["logits"]["values"]))
    source = open_source(tmp_path / "tiny")
    tokens = export_module.Text(source.tokenizer)
    ids = selftest.encode_shared(manifest["prompts"]["judge"], selftest.SPOKEN, "code", tokens)
    expected = made(torch.tensor([ids])).logits[0].detach().softmax(0)[1]
    assert case["judge"]["p_correct"] == pytest.approx(float(expected), abs=1e-5)


def test_classifier_of_many_labels_wants_to_know_the_positive_one(tmp_path: Path) -> None:
    tiny.save(tiny.classifier({0: "fails", 1: "crashes", 2: "passes"}), tmp_path / "tiny")
    with pytest.raises(ToolkitError, match="fails, crashes, passes"):
        export(tmp_path / "tiny", tmp_path / "out.gavel")
    bundle = export(tmp_path / "tiny", tmp_path / "out.gavel", judge=JudgeWording(positive_label="passes"))
    assert read_manifest(bundle)["head"]["positive"] == 2
