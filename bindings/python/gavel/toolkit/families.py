"""The families of decoders, each by what sets it apart; the rest its config says."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import transformers
from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Names:
    """Where a checkpoint keeps what the program's tensors are made of, as transformers names it; in a layer's names
    the layer's own prefix is left out."""

    embedding: str = "model.embed_tokens"
    positions: str = ""
    layers: str = "model.layers"
    attention_norm: str = "input_layernorm"
    qkv: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    head_norm: tuple[str, ...] = ("self_attn.q_norm", "self_attn.k_norm")
    out: str = "self_attn.o_proj"
    attention_out_norm: str = ""
    mlp_norm: str = "post_attention_layernorm"
    gate_up: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    down: str = "mlp.down_proj"
    mlp_out_norm: str = ""
    norm: str = "model.norm"


SANDWICH = Names(
    attention_out_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
)
PLAIN_MLP = Names(gate_up=("mlp.c_fc",), down="mlp.c_proj")
FUSED = Names(qkv=("self_attn.qkv_proj",), gate_up=("mlp.gate_up_proj",))
GPT = Names(
    embedding="transformer.wte",
    positions="transformer.wpe",
    layers="transformer.h",
    attention_norm="ln_1",
    qkv=("attn.c_attn",),
    out="attn.c_proj",
    mlp_norm="ln_2",
    gate_up=("mlp.c_fc",),
    down="mlp.c_proj",
    norm="transformer.ln_f",
)


@dataclass(frozen=True)
class Family:
    """One architecture of transformers."""

    stem: str  # of its class names
    module: str  # transformers.models.…
    names: Names = field(default=Names())
    config_name: str = ""
    classifier_name: str = ""  # where it does not follow from the stem
    layer_norm: bool = False
    norms_behind: bool = False
    head_norms: bool = False
    gated: bool = True
    partly_rotated: bool = False  # its heads may be rotated in part (partial_rotary_factor)
    softcapped: bool = False  # attention scores are capped by attn_logit_softcapping
    scaled_embedding: bool = False  # by the square root of the hidden size
    norm_offset: float = 0.0  # what is added to a norm's weight
    biases: dict[str, str | bool] = field(default_factory=dict)  # part -> the config's flag, or always

    @property
    def config(self) -> str:
        return self.config_name or f"{self.stem}Config"

    @property
    def language_model(self) -> str:
        return f"{self.stem}ForCausalLM"

    @property
    def classifier(self) -> str:
        return self.classifier_name or f"{self.stem}ForSequenceClassification"

    def bias(self, config: PreTrainedConfig, part: str) -> bool:
        """Whether ``qkv``, ``out`` or ``mlp`` have biases."""
        flag = self.biases.get(part, False)
        return bool(getattr(config, flag, False)) if isinstance(flag, str) else flag

    def rotary(self) -> type[Any]:
        """transformers' own rotary positions."""
        module = importlib.import_module(f"transformers.models.{self.module}.modeling_{self.module}")
        return getattr(module, f"{self.stem}RotaryEmbedding")


ATTENTION = {"qkv": "attention_bias", "out": "attention_bias"}
FAMILIES = {
    "llama": Family("Llama", "llama", biases=ATTENTION | {"mlp": "mlp_bias"}),
    "qwen2": Family("Qwen2", "qwen2", biases={"qkv": True}),
    "qwen3": Family("Qwen3", "qwen3", head_norms=True, biases=ATTENTION),
    "phi3": Family("Phi3", "phi3", FUSED, partly_rotated=True),
    "gemma2": Family(
        "Gemma2",
        "gemma2",
        SANDWICH,
        norms_behind=True,
        softcapped=True,
        scaled_embedding=True,
        norm_offset=1.0,
        biases=ATTENTION,
    ),
    "gemma3_text": Family(
        "Gemma3",
        "gemma3",
        SANDWICH,
        config_name="Gemma3TextConfig",
        classifier_name="Gemma3TextForSequenceClassification",
        norms_behind=True,
        head_norms=True,
        scaled_embedding=True,
        norm_offset=1.0,
        biases=ATTENTION,
    ),
    "starcoder2": Family(
        "Starcoder2",
        "starcoder2",
        PLAIN_MLP,
        layer_norm=True,
        gated=False,
        biases=dict.fromkeys(("qkv", "out", "mlp"), "use_bias"),
    ),
    "granite": Family("Granite", "granite", biases=ATTENTION | {"mlp": "mlp_bias"}),
    "gpt_bigcode": Family(
        "GPTBigCode",
        "gpt_bigcode",
        GPT,
        layer_norm=True,
        gated=False,
        biases=dict.fromkeys(("qkv", "out", "mlp"), True),
    ),
}
MODELS: dict[str, type[PreTrainedModel]] = {
    name: getattr(transformers, name)
    for family in FAMILIES.values()
    for name in (family.language_model, family.classifier)
    if hasattr(transformers, name)
}
