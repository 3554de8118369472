"""From a checkpoint's ``config.json`` to the decoder's: what is supported, and a refusal by name of what is not."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
)
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from .errors import ToolkitError, UnsupportedError
from .program import DecoderConfig

CONFIGS: dict[str, type[PreTrainedConfig]] = {"llama": LlamaConfig, "qwen2": Qwen2Config}
ROTARY = {"llama": LlamaRotaryEmbedding, "qwen2": Qwen2RotaryEmbedding}
MODELS: dict[str, type[PreTrainedModel]] = {
    "LlamaForCausalLM": LlamaForCausalLM,
    "LlamaForSequenceClassification": LlamaForSequenceClassification,
    "Qwen2ForCausalLM": Qwen2ForCausalLM,
    "Qwen2ForSequenceClassification": Qwen2ForSequenceClassification,
}
ROPES = ("default", "linear", "llama3")
SUPPORTED = (
    f"supported: architectures {', '.join(MODELS)}; activation silu; rotary positions {', '.join(ROPES)}; "
    "full attention; unquantised safetensors or GGUF"
)


def refuse(what: str) -> UnsupportedError:
    return UnsupportedError(f"{what} is not supported ({SUPPORTED})")


def rope_of(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings under the newer key, the older one, or none."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if "type" in rope:
        rope.setdefault("rope_type", rope.pop("type"))
    rope.setdefault("rope_type", "default")
    return rope


def model_class(config: dict[str, Any]) -> str:
    """The name of the transformers class the checkpoint was saved from."""
    family = config.get("model_type")
    if family not in CONFIGS:
        raise refuse(f"model type {family!r}")
    names = config.get("architectures") or [f"{family.capitalize()}ForCausalLM"]
    if len(names) != 1 or names[0] not in MODELS or not names[0].lower().startswith(family):
        raise refuse(f"architecture {', '.join(map(str, names))} with model type {family}")
    return names[0]


def check(config: dict[str, Any]) -> None:
    """Refuses what the decoder would silently compute differently."""
    model_class(config)
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unnamed")
        raise refuse(f"a checkpoint with quantization_config (method {method})")
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise refuse(f"activation {activation!r}")
    rope = rope_of(config)
    if rope["rope_type"] not in ROPES:
        raise refuse(f"rotary scaling {rope['rope_type']!r}")
    if float(rope.get("partial_rotary_factor", config.get("partial_rotary_factor") or 1.0)) != 1.0:
        raise refuse("a partial rotary factor other than 1")
    if "sliding_attention" in (config.get("layer_types") or []) or (
        config.get("use_sliding_window")
        and config.get("sliding_window")
        and config.get("max_window_layers", 0) < config["num_hidden_layers"]
    ):
        raise refuse(f"sliding-window attention (window {config.get('sliding_window')})")


def reference_config(config: dict[str, Any]) -> PreTrainedConfig:
    """The same as transformers' own object, with the family's defaults filled in."""
    check(config)
    try:
        return CONFIGS[config["model_type"]].from_dict(config)
    except (TypeError, ValueError, KeyError) as error:
        raise ToolkitError(f"config.json is not a valid {config['model_type']} config: {error}") from error


def decoder_config(config: dict[str, Any]) -> DecoderConfig:
    """What the program needs to know of a checkpoint."""
    reference = reference_config(config)
    rope = {key: value for key, value in reference.rope_parameters.items() if key != "type"}  # the older rope_type
    family = config["model_type"]
    classifier = model_class(config).endswith("SequenceClassification")
    head_dim = getattr(reference, "head_dim", None) or reference.hidden_size // reference.num_attention_heads
    if head_dim % 2 or reference.num_attention_heads % reference.num_key_value_heads:
        raise ToolkitError(
            f"config.json contradicts itself: head size {head_dim} (must be even), {reference.num_attention_heads} "
            f"heads in groups over {reference.num_key_value_heads}"
        )
    bias = bool(getattr(reference, "attention_bias", False))
    return DecoderConfig(
        family=family,
        layers=reference.num_hidden_layers,
        hidden=reference.hidden_size,
        heads=reference.num_attention_heads,
        kv_heads=reference.num_key_value_heads,
        head_dim=head_dim,
        intermediate=reference.intermediate_size,
        vocabulary=reference.vocab_size,
        context=reference.max_position_embeddings,
        norm_eps=float(reference.rms_norm_eps),
        rope_theta=float(rope["rope_theta"]),
        rope_scaling=None if rope["rope_type"] == "default" else rope,
        tied=bool(reference.tie_word_embeddings) and not classifier,
        qkv_bias=bias or family == "qwen2",
        o_bias=bias,
        mlp_bias=bool(getattr(reference, "mlp_bias", False)),
        labels=reference.num_labels if classifier else 0,
    )


def rope_frequencies(config: dict[str, Any]) -> torch.Tensor:
    """Inverse frequencies, the family's scaling included; float32 ``[head_dim / 2]``."""
    rotary = ROTARY[config["model_type"]](config=reference_config(config))
    if rotary.attention_scaling != 1.0:
        raise refuse(f"rotary scaling with attention factor {rotary.attention_scaling}")
    return rotary.inv_freq.detach().to(torch.float32)
