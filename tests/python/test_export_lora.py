"""LoRA adapters merged at export, against peft's own merge; other kinds are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForSequenceClassification

from gavel.toolkit.architecture import decoder_config
from gavel.toolkit.errors import ToolkitError, UnsupportedError
from gavel.toolkit.lora import AdapterSource
from gavel.toolkit.sources import open_source
from gavel.toolkit.tensors import check, checkpoint_shapes, parts

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": ["q_proj", "v_proj"]},
    "all-linear": {"target_modules": LINEARS, "lora_alpha": 7},
    "rank-stabilised": {"target_modules": LINEARS, "use_rslora": True},
    "patterns": {
        "target_modules": LINEARS,
        "rank_pattern": {"v_proj": 2, "layers.1.self_attn.q_proj": 6},
        "alpha_pattern": {"down_proj": 3},
    },
}


def adapted(base: torch.nn.Module, folder: Path, **settings: Any) -> Any:
    torch.manual_seed(1)
    made = get_peft_model(base, LoraConfig(**({"r": 4, "lora_alpha": 8} | settings)))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    made.save_pretrained(folder)
    return made


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.save(tiny.model("llama"), tmp_path / "base")


@pytest.mark.parametrize("kind", KINDS)
def test_merge_equals_pefts(kind: str, base: Path, tmp_path: Path) -> None:
    merged = adapted(tiny.model("llama"), tmp_path / "adapter", **KINDS[kind]).merge_and_unload().state_dict()
    plain, source = open_source(base), AdapterSource(open_source(base), tmp_path / "adapter")
    check(source, parts(decoder_config(source.config)))
    changed = 0
    for name in checkpoint_shapes(parts(decoder_config(source.config))):
        torch.testing.assert_close(source.tensor(name), merged[name], atol=1e-6, rtol=1e-6)
        changed += not torch.equal(source.tensor(name), plain.tensor(name))
    assert changed == 2 * len(KINDS[kind]["target_modules"])
    assert source.name == "base-adapter"


def test_classifier_trained_as_adapter(base: Path, tmp_path: Path) -> None:
    made = tiny.classifier({0: "wrong", 1: "correct"})
    assert isinstance(made, LlamaForSequenceClassification)
    made.model.load_state_dict(tiny.model("llama").model.state_dict())
    adapted(made, tmp_path / "adapter", task_type="SEQ_CLS", target_modules=["q_proj"])
    source = AdapterSource(open_source(base), tmp_path / "adapter")
    check(source, parts(decoder_config(source.config)))
    assert decoder_config(source.config).labels == 2
    assert torch.equal(source.tensor("score.weight"), made.score.weight)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"use_dora": True, "target_modules": ["q_proj"]}, "DoRA"),
        ({"bias": "all", "target_modules": ["q_proj"]}, "trained biases"),
        ({"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj"]}, "embed_tokens"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens"),
        ({"trainable_token_indices": [3], "target_modules": ["q_proj"]}, "token"),
    ],
)
def test_other_adapters_are_refused_by_name(settings: dict[str, Any], message: str, base: Path, tmp_path: Path) -> None:
    adapted(tiny.model("llama"), tmp_path / "adapter", **settings)
    with pytest.raises(UnsupportedError, match=message):
        AdapterSource(open_source(base), tmp_path / "adapter")


def edit_adapter(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damaged_adapters_are_named(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    with pytest.raises(ToolkitError, match="adapter_config.json"):
        AdapterSource(open_source(base), folder)
    adapted(tiny.model("llama"), folder, target_modules=["q_proj"])
    edit_adapter(folder, r=5)
    with pytest.raises(ToolkitError, match="has rank 4, its config says 5"):
        AdapterSource(open_source(base), folder).tensor("model.layers.0.self_attn.q_proj.weight")
    edit_adapter(folder, r=4, peft_type="IA3")
    with pytest.raises(UnsupportedError, match="IA3"):
        AdapterSource(open_source(base), folder)
    edit_adapter(folder, peft_type="LORA", init_lora_weights="pissa")
    with pytest.raises(UnsupportedError, match="pissa"):
        AdapterSource(open_source(base), folder)


def test_adapter_of_a_larger_model_is_named(tmp_path: Path) -> None:
    tiny.save(tiny.model("llama", num_hidden_layers=1), tmp_path / "small")
    adapted(tiny.model("llama"), tmp_path / "adapter", target_modules=["q_proj"])
    with pytest.raises(ToolkitError, match="model.layers.1.self_attn.q_proj.weight, which small does not have"):
        AdapterSource(open_source(tmp_path / "small"), tmp_path / "adapter").shapes()
