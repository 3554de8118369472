"""A checkpoint's tensors under the program's names, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from .architecture import decoder_config, rope_frequencies
from .errors import ToolkitError
from .program import PRECISIONS, ClassifierDecoder, Decoder, DecoderConfig, TiedDecoder, UntiedDecoder
from .quantize import quantize
from .sources import Source

Shapes = dict[str, tuple[int, ...]]
# Buffers some checkpoints carry that say nothing the config does not.
IGNORED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|self_attn\.bias|self_attn\.masked_bias)$")


def layout(config: DecoderConfig, precision: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Name, type and shape of every tensor the program asks for, in its order."""
    kind: type[Decoder] = ClassifierDecoder if config.labels else TiedDecoder if config.tied else UntiedDecoder
    state = kind(config, precision).state_dict()
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()}


def parts(config: DecoderConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """For each tensor of the program (before quantisation) the checkpoint's tensors it is stacked from, in order, with
    their shapes."""
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    hidden, middle = config.hidden, config.intermediate
    table: dict[str, dict[str, tuple[int, ...]]] = {
        "embedding.weight": {"model.embed_tokens.weight": (config.vocabulary, hidden)}
    }

    def linear(ours: str, theirs: dict[str, int], inputs: int, bias: bool) -> None:
        table[f"{ours}.weight"] = {f"{name}.weight": (rows, inputs) for name, rows in theirs.items()}
        if bias:
            table[f"{ours}.bias"] = {f"{name}.bias": (rows,) for name, rows in theirs.items()}

    for i in range(config.layers):
        ours, theirs = f"layers.{i}", f"model.layers.{i}"
        attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
        table[f"{ours}.attention_norm.weight"] = {f"{theirs}.input_layernorm.weight": (hidden,)}
        qkv = {f"{attention}.q_proj": queries, f"{attention}.k_proj": keys, f"{attention}.v_proj": keys}
        linear(f"{ours}.qkv", qkv, hidden, config.qkv_bias)
        linear(f"{ours}.out", {f"{attention}.o_proj": hidden}, queries, config.o_bias)
        table[f"{ours}.mlp_norm.weight"] = {f"{theirs}.post_attention_layernorm.weight": (hidden,)}
        linear(f"{ours}.gate_up", {f"{mlp}.gate_proj": middle, f"{mlp}.up_proj": middle}, hidden, config.mlp_bias)
        linear(f"{ours}.down", {f"{mlp}.down_proj": hidden}, middle, config.mlp_bias)
    table["norm.weight"] = {"model.norm.weight": (hidden,)}
    if config.labels:
        table["score.weight"] = {"score.weight": (config.labels, hidden)}
    elif not config.tied:
        table["unembedding.weight"] = {"lm_head.weight": (config.vocabulary, hidden)}
    return table


def checkpoint_shapes(config: DecoderConfig) -> Shapes:
    """Every tensor the checkpoint must have."""
    return {name: shape for pieces in parts(config).values() for name, shape in pieces.items()}


def check(source: Source) -> None:
    """Names missing, mis-shaped and unknown tensors before anything is computed."""
    config = decoder_config(source.config)
    wanted, found = checkpoint_shapes(config), source.shapes()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ToolkitError(f"{source.origin} lacks {len(missing)} tensor(s) its config asks for: {some(missing)}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ToolkitError(f"{source.origin}: {name} has shape {list(found[name])}, its config says {list(shape)}")
    known = set(wanted) | {"lm_head.weight"}
    unknown = [name for name in found if name not in known and not IGNORED.search(name)]
    if unknown:
        raise ToolkitError(
            f"{source.origin} has {len(unknown)} tensor(s) this decoder would leave out: {some(unknown)}; "
            "the model is of another kind than its config says"
        )


def some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def checkpoint_tensor(source: Source, name: str) -> torch.Tensor:
    """One tensor as float32, refused by name where it holds anything but finite numbers."""
    tensor = source.tensor(name)
    if not tensor.is_floating_point():
        raise ToolkitError(f"{source.origin}: {name} holds {tensor.dtype}, not floating-point weights")
    tensor = tensor.to(torch.float32)
    if not torch.isfinite(tensor).all():
        raise ToolkitError(f"{source.origin}: {name} holds NaN or infinite values; the checkpoint is damaged")
    return tensor


def program_tensors(source: Source, precision: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The bundle's tensors, made one at a time so that the largest decides the memory."""
    config = decoder_config(source.config)
    types = layout(config, precision)
    yield "rope.frequencies", rope_frequencies(source.config)
    for name, pieces in parts(config).items():
        tensors = [checkpoint_tensor(source, piece) for piece in pieces]
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        del tensors
        dtype = types[name][0]
        if dtype == PRECISIONS["int8"]:
            tiles, scale = quantize(tensor)
            yield name, tiles
            yield name.removesuffix("weight") + "scale", scale
            continue
        cast = tensor.to(dtype)
        if not torch.isfinite(cast).all():
            raise ToolkitError(f"{source.origin}: {name} overflows {precision}; export with bf16, fp32 or int8")
        yield name, cast
