"""From the ``config.json`` of an encoder that classifies to the program's config, and a refusal by name of the rest."""

from __future__ import annotations

from typing import Any

from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5ForSequenceClassification,
)

from .encoder_layers import EncoderConfig
from .errors import ToolkitError, UnsupportedError
from .judging import label_names
from .sources import Source

MODELS: dict[str, type[PreTrainedModel]] = {
    "T5ForConditionalGeneration": T5ForConditionalGeneration,
    "T5EncoderModel": T5EncoderModel,
    "T5ForSequenceClassification": T5ForSequenceClassification,
    "RobertaForSequenceClassification": RobertaForSequenceClassification,
}
CONFIGS: dict[str, type[PreTrainedConfig]] = {"t5": T5Config, "roberta": RobertaConfig}
ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
}
# RankEF's head, which transformers has no class for: Linear, ReLU, Linear on the encoder's first state.
CLASS_HEAD = ("class_head.0.weight", "class_head.0.bias", "class_head.2.weight", "class_head.2.bias")
RANKEF_LABELS = ("Correct", "Execution error", "Intent error")
# T5's relative positions know no end; RankEF reads so many tokens.
T5_CONTEXT = 1024
SUPPORTED = (
    "supported: RobertaForSequenceClassification, T5ForSequenceClassification, and T5ForConditionalGeneration or "
    f"T5EncoderModel with class_head.*; activations {', '.join(ACTIVATIONS)}; unquantised safetensors"
)


def refuse(what: str) -> UnsupportedError:
    return UnsupportedError(f"{what} is not supported ({SUPPORTED})")


def is_encoder(config: dict[str, Any]) -> bool:
    """Whether a checkpoint is of a family that encodes."""
    return config.get("model_type") in CONFIGS


def model_class(config: dict[str, Any]) -> str:
    """The name of the transformers class the checkpoint was saved from."""
    names = config.get("architectures") or []
    if len(names) != 1 or names[0] not in MODELS or not names[0].lower().startswith(config["model_type"]):
        raise refuse(f"architecture {', '.join(map(str, names)) or 'unnamed'} with model type {config['model_type']}")
    return names[0]


def reference_config(config: dict[str, Any]) -> PreTrainedConfig:
    """The same as transformers' own object, with the family's defaults filled in."""
    model_class(config)
    if config.get("quantization_config"):
        raise refuse(
            f"a checkpoint with quantization_config (method {config['quantization_config'].get('quant_method')})"
        )
    try:
        return CONFIGS[config["model_type"]].from_dict(config)
    except (TypeError, ValueError, KeyError) as error:
        raise ToolkitError(f"config.json is not a valid {config['model_type']} config: {error}") from error


def activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise refuse(f"activation {name!r}")
    return ACTIVATIONS[name]


def encoder_config(source: Source) -> EncoderConfig:
    """What the program needs to know of a checkpoint. The size of RankEF's head stands in its tensors alone."""
    name, reference = model_class(source.config), reference_config(source.config)
    if name == "RobertaForSequenceClassification":
        return roberta_config(reference)
    return t5_config(source, name, reference)


def roberta_config(reference: PreTrainedConfig) -> EncoderConfig:
    if reference.hidden_size % reference.num_attention_heads:
        raise ToolkitError(
            f"config.json contradicts itself: hidden size {reference.hidden_size}, "
            f"{reference.num_attention_heads} heads"
        )
    if reference.is_decoder:
        raise refuse("a RoBERTa decoder (is_decoder)")
    return EncoderConfig(
        family="roberta",
        layers=reference.num_hidden_layers,
        decoder_layers=0,
        hidden=reference.hidden_size,
        heads=reference.num_attention_heads,
        head_dim=reference.hidden_size // reference.num_attention_heads,
        intermediate=reference.intermediate_size,
        vocabulary=reference.vocab_size,
        context=reference.max_position_embeddings - reference.pad_token_id - 1,
        norm_eps=float(reference.layer_norm_eps),
        activation=activation(reference.hidden_act),
        gated=False,
        labels=reference.num_labels,
        head="first",
        head_size=reference.hidden_size,
        head_activation="tanh",
        first_position=reference.pad_token_id + 1,
        token_types=reference.type_vocab_size,
    )


def t5_config(source: Source, name: str, reference: PreTrainedConfig) -> EncoderConfig:
    own_head = name == "T5ForSequenceClassification"
    shapes = source.shapes()
    if not own_head:
        missing = [tensor for tensor in CLASS_HEAD if tensor not in shapes]
        if missing:
            raise refuse(f"{name} without a classification head ({', '.join(missing)})")
    decoder = name != "T5EncoderModel"
    start = getattr(reference, "decoder_start_token_id", None)
    if decoder and start is None:
        raise ToolkitError("config.json names no decoder_start_token_id, the token the decoder begins with; add it")
    return EncoderConfig(
        family="t5",
        layers=reference.num_layers,
        decoder_layers=reference.num_decoder_layers if decoder else 0,
        hidden=reference.d_model,
        heads=reference.num_heads,
        head_dim=reference.d_kv,
        intermediate=reference.d_ff,
        vocabulary=reference.vocab_size,
        context=max(T5_CONTEXT, int(source.config.get("n_positions") or 0)),
        norm_eps=float(reference.layer_norm_epsilon),
        activation=activation(reference.dense_act_fn),
        gated=bool(reference.is_gated_act),
        labels=reference.num_labels if own_head else shapes["class_head.2.weight"][0],
        head="last" if own_head else "first",
        head_size=reference.d_model if own_head else shapes["class_head.0.weight"][0],
        head_activation="tanh" if own_head else "relu",
        distance=reference.relative_attention_max_distance,
        buckets=reference.relative_attention_num_buckets,
        start=start or 0,
        tied="lm_head.weight" not in shapes,
        output_scale=reference.d_model**-0.5 if reference.scale_decoder_outputs else 1.0,
    )


def labels_of(source: Source, config: EncoderConfig) -> list[str]:
    """The labels' names: the config's own, else RankEF's where it is RankEF's head."""
    labels = label_names(source.config, config.labels)
    rankef = "class_head.2.weight" in source.shapes() and config.labels == len(RANKEF_LABELS)
    if rankef and all(label == f"LABEL_{i}" for i, label in enumerate(labels)):
        return list(RANKEF_LABELS)
    return labels
