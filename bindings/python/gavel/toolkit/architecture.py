"""From a checkpoint's ``config.json`` to the decoder's: what is supported, and a refusal by name of what is not."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .encoder_architecture import MODELS as ENCODERS
from .errors import ToolkitError, UnsupportedError
from .families import FAMILIES, MODELS, Family
from .program import DecoderConfig

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu": "gelu",
}
ROPES = ("default", "linear", "llama3", "yarn", "longrope")
SUPPORTED = (
    f"supported: architectures {', '.join(MODELS)}; activations {', '.join(ACTIVATIONS)}; "
    f"rotary positions {', '.join(ROPES)}; causal attention, whole or in sliding windows; "
    "unquantised safetensors, or GGUF of Llama and Qwen2 models; "
    f"encoders that classify: {', '.join(ENCODERS)}"
)


def refuse(what: str) -> UnsupportedError:
    return UnsupportedError(f"{what} is not supported ({SUPPORTED})")


def family_of(config: dict[str, Any]) -> Family:
    name = config.get("model_type")
    if name not in FAMILIES:
        raise refuse(f"model type {name!r}")
    return FAMILIES[name]


def model_class(config: dict[str, Any]) -> str:
    """The name of the transformers class the checkpoint was saved from."""
    family = family_of(config)
    names = config.get("architectures") or [family.language_model]
    if len(names) != 1 or names[0] not in (family.language_model, family.classifier):
        raise refuse(f"architecture {', '.join(map(str, names))} with model type {config['model_type']}")
    return names[0]


def check(config: dict[str, Any], reference: PreTrainedConfig) -> None:
    """Refuses what the decoder would silently compute differently."""
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unnamed")
        raise refuse(f"a checkpoint with quantization_config (method {method})")
    activation = activation_of(reference)
    if activation not in ACTIVATIONS:
        raise refuse(f"activation {activation!r}")
    for rope in ropes_of(reference).values():
        if rope["rope_type"] not in ROPES:
            raise refuse(f"rotary scaling {rope['rope_type']!r}")
        if not family_of(config).partly_rotated and float(rope.get("partial_rotary_factor") or 1.0) != 1.0:
            raise refuse(f"a partial rotary factor with model type {config['model_type']}")
    if getattr(reference, "use_bidirectional_attention", False):
        raise refuse("bidirectional attention (use_bidirectional_attention)")
    if getattr(reference, "add_cross_attention", False):
        raise refuse("cross-attention (add_cross_attention)")
    if not getattr(reference, "multi_query", True):
        raise refuse("interleaved queries, keys and values (multi_query false)")


def reference_config(config: dict[str, Any]) -> PreTrainedConfig:
    """The same as transformers' own object, with the family's defaults filled in."""
    model_class(config)
    try:
        reference = getattr(transformers, family_of(config).config).from_dict(config)
    except (TypeError, ValueError, KeyError) as error:
        raise ToolkitError(f"config.json is not a valid {config['model_type']} config: {error}") from error
    check(config, reference)
    return reference


def activation_of(reference: PreTrainedConfig) -> str:
    names = ("hidden_activation", "activation_function", "hidden_act")
    return next(getattr(reference, name) for name in names if getattr(reference, name, None) is not None)


def ropes_of(reference: PreTrainedConfig) -> dict[str, dict[str, Any]]:
    """The rotary settings of each kind of layer that has its own, or of all under ""; none where positions are
    learned."""
    rope = getattr(reference, "rope_parameters", None)
    if rope is None:
        return {}
    return {"": rope} if "rope_type" in rope else {kind: rope[kind] for kind in sorted(set(reference.layer_types))}


def windows_of(reference: PreTrainedConfig) -> tuple[int, ...]:
    """How far each layer's attention reaches back; 0: to the beginning."""
    window = getattr(reference, "sliding_window", None) or 0
    kinds = getattr(reference, "layer_types", None) or ["sliding_attention"] * reference.num_hidden_layers
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)


def decoder_config(config: dict[str, Any]) -> DecoderConfig:
    """What the program needs to know of a checkpoint."""
    reference = reference_config(config)
    family = family_of(config)
    classifier = model_class(config) == family.classifier
    heads, hidden, layers = reference.num_attention_heads, reference.hidden_size, reference.num_hidden_layers
    kv_heads = getattr(reference, "num_key_value_heads", None) or heads
    head_dim = getattr(reference, "head_dim", None) or hidden // heads
    if head_dim % 2 or heads % kv_heads:
        raise ToolkitError(
            f"config.json contradicts itself: head size {head_dim} (must be even), {heads} heads in groups over "
            f"{kv_heads}"
        )
    ropes = ropes_of(reference)
    kinds = list(ropes)
    long = [rope for rope in ropes.values() if rope["rope_type"] == "longrope"]
    return DecoderConfig(
        family=config["model_type"],
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=(reference.n_inner or 4 * hidden)
        if hasattr(reference, "n_inner")
        else reference.intermediate_size,
        vocabulary=reference.vocab_size,
        context=reference.max_position_embeddings,
        norm_eps=norm_eps(reference),
        attention_scale=attention_scale(reference, head_dim),
        rotary_dim=2 * rope_tables(config)[0].shape[1],
        rope_kinds=tuple(map(kinds.index, reference.layer_types)) if len(kinds) > 1 else (0,) * layers,
        rope_switch=long[0]["original_max_position_embeddings"] if long else 0,
        windows=windows_of(reference),
        layer_norm=family.layer_norm,
        norms_behind=family.norms_behind,
        head_norms=family.head_norms,
        activation=ACTIVATIONS[activation_of(reference)],
        gated=family.gated,
        tied=bool(reference.tie_word_embeddings) and not classifier,
        qkv_bias=family.bias(reference, "qkv"),
        o_bias=family.bias(reference, "out"),
        mlp_bias=family.bias(reference, "mlp"),
        attention_softcap=float((family.softcapped and reference.attn_logit_softcapping) or 0.0),
        logit_softcap=float(getattr(reference, "final_logit_softcapping", None) or 0.0),
        embedding_scale=hidden**0.5
        if family.scaled_embedding
        else float(getattr(reference, "embedding_multiplier", 1)),
        residual_scale=float(getattr(reference, "residual_multiplier", 1)),
        logit_scale=1 / float(getattr(reference, "logits_scaling", 1)),
        labels=reference.num_labels if classifier else 0,
    )


def norm_eps(reference: PreTrainedConfig) -> float:
    names = ("rms_norm_eps", "norm_epsilon", "layer_norm_epsilon")
    return float(next(getattr(reference, name) for name in names if hasattr(reference, name)))


def attention_scale(reference: PreTrainedConfig, head_dim: int) -> float:
    if hasattr(reference, "query_pre_attn_scalar"):
        return reference.query_pre_attn_scalar**-0.5
    if hasattr(reference, "attention_multiplier"):
        return float(reference.attention_multiplier)
    return head_dim**-0.5 if getattr(reference, "scale_attn_weights", True) else 1.0


def rope_tables(config: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse frequencies ``[sets * kinds, rotary_dim / 2]``, the family's scaling included, and the factors
    ``[sets * kinds]`` of cosine and sine; float32. With learned positions there is one kind of width 0."""
    reference = reference_config(config)
    ropes = ropes_of(reference)
    if not ropes:
        return torch.zeros(1, 0), torch.ones(1)
    rotary = family_of(config).rotary()(config=reference)
    names = [f"{kind}_" if kind else "" for kind in ropes]
    tables = [getattr(rotary, f"{name}inv_freq") for name in names]
    factors = [getattr(rotary, f"{name}attention_scaling") for name in names]
    if any(rope["rope_type"] == "longrope" for rope in ropes.values()):
        if list(ropes) != [""]:
            raise refuse("LongRoPE of several kinds of layers")
        longer = ropes[""]["original_max_position_embeddings"] + 1  # the second set is for those
        table, factor = ROPE_INIT_FUNCTIONS["longrope"](reference, None, seq_len=longer)
        tables.append(table)
        factors.append(factor)
    return torch.stack([table.detach().float() for table in tables]), torch.tensor(factors, dtype=torch.float32)
