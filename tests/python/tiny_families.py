"""A small random-weight model of every family of decoders, each with what sets the family apart turned on."""

from __future__ import annotations

from typing import Any

import tiny_models as tiny
import torch
import transformers
from transformers import PreTrainedModel

CONTEXT, WINDOW, SWITCH = 512, 40, 96  # windows and LongRoPE's switch lie within the tests' prompts
SHAPE: dict[str, Any] = {
    "vocab_size": tiny.VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
FACTORS = [1.0 + 0.3 * i for i in range(6)]
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": SWITCH,
    "short_factor": FACTORS,
    "long_factor": [3.0 * factor for factor in FACTORS],
}
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 128}
# name -> (stem of transformers' classes, what its config says beside the shape)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 2, CodeLlama": ("Llama", {"num_key_value_heads": 4, "rope_theta": 1e6, "tie_word_embeddings": False}),
    "Llama 3.x": ("Llama", {"rope_parameters": tiny.LLAMA3, "tie_word_embeddings": True}),
    "DeepSeek-Coder": ("Llama", {"rope_parameters": tiny.LINEAR, "tie_word_embeddings": False}),
    "OpenCoder": ("Llama", {"rope_theta": 5e5, "num_key_value_heads": 4, "tie_word_embeddings": False}),
    "Qwen2, Qwen2.5 to 3B": ("Qwen2", {"rope_theta": 1e6, "tie_word_embeddings": True}),
    "Qwen2.5 7B to 32B": (
        "Qwen2",
        {
            "num_attention_heads": 10,
            "hidden_size": 160,
            "rope_parameters": YARN,
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "max_window_layers": 1,
            "tie_word_embeddings": False,
        },
    ),
    "Qwen3": ("Qwen3", {"head_dim": 32, "rope_theta": 1e6, "tie_word_embeddings": True}),
    "Phi-3": ("Phi3", {"sliding_window": WINDOW, "num_key_value_heads": 4, "tie_word_embeddings": False}),
    "Phi-4-mini": ("Phi3", {"rope_parameters": LONGROPE, "partial_rotary_factor": 0.75, "tie_word_embeddings": True}),
    "Gemma 2": (
        "Gemma2",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 24,
            "sliding_window": WINDOW,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "Gemma 3": (
        "Gemma3",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 24,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "StarCoder2": ("Starcoder2", {"sliding_window": WINDOW, "rope_theta": 1e5, "tie_word_embeddings": True}),
    "Granite-code 3B, 8B": ("Llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "Granite 3.x": (
        "Granite",
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.4,
            "attention_multiplier": 0.2,
            "logits_scaling": 2.0,
            "tie_word_embeddings": True,
        },
    ),
    "Granite-code 20B, 34B": ("GPTBigCode", {"activation_function": "gelu"}),
}
CLASSIFIERS = [name for name, (stem, _) in FAMILIES.items() if stem != "Granite"]  # transformers has none for it
GPT_NAMES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
    "intermediate_size": "n_inner",
}


def model(name: str, head: str = "CausalLM", **changes: Any) -> PreTrainedModel:
    """The family's model with a head of this kind; attention scores are capped only by the eager implementation."""
    stem, settings = FAMILIES[name]
    text = "Text" if stem == "Gemma3" else ""
    values = SHAPE | settings | changes
    if stem == "GPTBigCode":
        values = {GPT_NAMES.get(key, key): value for key, value in values.items() if key != "num_key_value_heads"}
    config = getattr(transformers, f"{stem}{text}Config")(**values)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    kind = getattr(transformers, f"{stem}{text if head != 'CausalLM' else ''}For{head}")
    return tiny.spread(kind(config))
