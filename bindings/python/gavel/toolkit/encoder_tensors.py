"""An encoder's checkpoint tensors under the program's names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from transformers.models.t5.modeling_t5 import T5Attention

from .encoder_architecture import encoder_config, model_class, reference_config
from .encoder_program import EncoderConfig, module
from .errors import ToolkitError
from .program import PRECISIONS
from .quantize import quantize
from .sources import Source
from .tensors import checkpoint_tensor, some

Parts = dict[str, dict[str, tuple[int, ...]]]
# What checkpoints carry beside what is read: T5's embedding under its other names (compared with the first), buffers,
# a pooler that the classifier does not use, and the second copy of the decoder's positions that early T5 files have.
EMBEDDINGS = re.compile(r"^(transformer\.)?(encoder|decoder)\.embed_tokens\.weight$")
IGNORED = re.compile(
    r"^roberta\.(embeddings\.(position|token_type)_ids|pooler\..*)$"
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$"
)


def layout(config: EncoderConfig, precision: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Name, type and shape of every tensor the program asks for, in its order."""
    return {name: (t.dtype, tuple(t.shape)) for name, t in module(config, precision).state_dict().items()}


def parts(config: EncoderConfig, name: str) -> Parts:
    """For each tensor of the program (before quantisation) the checkpoint's tensors it is stacked from, in order, with
    their shapes; `name` is the checkpoint's transformers class. Positions and distances are computed from theirs, whose
    number of rows stands in the config (-1 here)."""
    return roberta_parts(config) if config.family == "roberta" else t5_parts(config, name)


def dense(table: Parts, ours: str, theirs: dict[str, int], inputs: int, *, bias: bool) -> None:
    table[f"{ours}.weight"] = {f"{name}.weight": (rows, inputs) for name, rows in theirs.items()}
    if bias:
        table[f"{ours}.bias"] = {f"{name}.bias": (rows,) for name, rows in theirs.items()}


def roberta_parts(config: EncoderConfig) -> Parts:
    hidden, middle, embeddings = config.hidden, config.intermediate, "roberta.embeddings"
    table: Parts = {"embedding.weight": {f"{embeddings}.word_embeddings.weight": (config.vocabulary, hidden)}}

    def norm(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias"):
            table[f"{ours}.{kind}"] = {f"{theirs}.{kind}": (hidden,)}

    table["encoder.positions"] = {
        f"{embeddings}.position_embeddings.weight": (-1, hidden),
        f"{embeddings}.token_type_embeddings.weight": (-1, hidden),
    }
    norm("encoder.embedding_norm", f"{embeddings}.LayerNorm")
    for i in range(config.layers):
        ours, theirs = f"encoder.layers.{i}", f"roberta.encoder.layer.{i}"
        attention = f"{theirs}.attention.self"
        dense(table, f"{ours}.qkv", {f"{attention}.{p}": hidden for p in ("query", "key", "value")}, hidden, bias=True)
        dense(table, f"{ours}.out", {f"{theirs}.attention.output.dense": hidden}, hidden, bias=True)
        norm(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        dense(table, f"{ours}.mlp.up", {f"{theirs}.intermediate.dense": middle}, hidden, bias=True)
        dense(table, f"{ours}.mlp.down", {f"{theirs}.output.dense": hidden}, middle, bias=True)
        norm(f"{ours}.mlp_norm", f"{theirs}.output.LayerNorm")
    dense(table, "head.dense", {"classifier.dense": config.head_size}, hidden, bias=True)
    dense(table, "head.out", {"classifier.out_proj": config.labels}, config.head_size, bias=True)
    return table


def t5_parts(config: EncoderConfig, name: str) -> Parts:
    hidden, middle, width = config.hidden, config.intermediate, config.heads * config.head_dim
    own_head = name == "T5ForSequenceClassification"
    prefix = "transformer." if own_head else ""
    table: Parts = {"embedding.weight": {f"{prefix}shared.weight": (config.vocabulary, hidden)}}

    def norm(ours: str, theirs: str) -> None:
        table[f"{ours}.weight"] = {f"{theirs}.weight": (hidden,)}

    def attention(ours: str, theirs: str) -> None:
        dense(table, f"{ours}.qkv", {f"{theirs}.{p}": width for p in "qkv"}, hidden, bias=False)
        dense(table, f"{ours}.out", {f"{theirs}.o": hidden}, width, bias=False)

    def mlp(ours: str, theirs: str) -> None:
        up = ("wi_0", "wi_1") if config.gated else ("wi",)
        dense(table, f"{ours}.up", {f"{theirs}.{p}": middle for p in up}, hidden, bias=False)
        dense(table, f"{ours}.down", {f"{theirs}.wo": hidden}, middle, bias=False)

    for stack, layers in (("encoder", config.layers), ("decoder", config.decoder_layers)):
        if not layers:
            continue
        stacked = f"{prefix}{stack}"
        buckets = f"{stacked}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        table[f"{stack}.distances.weight"] = {buckets: (-1, config.heads)}
        for i in range(layers):
            ours, theirs = f"{stack}.layers.{i}", f"{stacked}.block.{i}.layer"
            norm(f"{ours}.attention_norm", f"{theirs}.0.layer_norm")
            attention(ours, f"{theirs}.0.SelfAttention")
            if stack == "decoder":
                cross = f"{theirs}.1.EncDecAttention"
                norm(f"{ours}.cross_norm", f"{theirs}.1.layer_norm")
                dense(table, f"{ours}.cross_q", {f"{cross}.q": width}, hidden, bias=False)
                dense(table, f"{ours}.cross_kv", {f"{cross}.k": width, f"{cross}.v": width}, hidden, bias=False)
                dense(table, f"{ours}.cross_out", {f"{cross}.o": hidden}, width, bias=False)
            last = 2 if stack == "decoder" else 1
            norm(f"{ours}.mlp_norm", f"{theirs}.{last}.layer_norm")
            mlp(f"{ours}.mlp", f"{theirs}.{last}.DenseReluDense")
        norm(f"{stack}.norm", f"{stacked}.final_layer_norm")
    if config.decoder_layers and not own_head and not config.tied:
        table["unembedding.weight"] = {"lm_head.weight": (config.vocabulary, hidden)}
    inner, outer = (
        ("classification_head.dense", "classification_head.out_proj")
        if own_head
        else (
            "class_head.0",
            "class_head.2",
        )
    )
    dense(table, "head.dense", {inner: config.head_size}, hidden, bias=True)
    dense(table, "head.out", {outer: config.labels}, config.head_size, bias=True)
    return table


def wanted(source: Source) -> dict[str, tuple[int, ...]]:
    """Every tensor the checkpoint must have."""
    config, reference = encoder_config(source), reference_config(source.config)
    shapes = {k: s for pieces in parts(config, model_class(source.config)).values() for k, s in pieces.items()}
    rows = {
        "position_embeddings.weight": getattr(reference, "max_position_embeddings", 0),
        "token_type_embeddings.weight": getattr(reference, "type_vocab_size", 0),
        "relative_attention_bias.weight": getattr(reference, "relative_attention_num_buckets", 0),
    }
    for name, shape in shapes.items():
        if shape[0] == -1:
            shapes[name] = (next(count for ending, count in rows.items() if name.endswith(ending)), *shape[1:])
    return shapes


def check(source: Source) -> None:
    """Names missing, mis-shaped and unknown tensors before anything is computed."""
    expected, found = wanted(source), source.shapes()
    missing = [name for name in expected if name not in found]
    if missing:
        raise ToolkitError(f"{source.origin} lacks {len(missing)} tensor(s) its config asks for: {some(missing)}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ToolkitError(f"{source.origin}: {name} has shape {list(found[name])}, its config says {list(shape)}")
    shared = next(name for name in expected if name.endswith(("shared.weight", "word_embeddings.weight")))
    unknown = []
    for name in found:
        if EMBEDDINGS.match(name) and encoder_config(source).family == "t5":
            if not torch.equal(source.tensor(name), source.tensor(shared)):
                raise ToolkitError(f"{source.origin}: {name} differs from {shared}; embeddings apart are not supported")
        elif name not in expected and not IGNORED.search(name):
            unknown.append(name)
    if unknown:
        raise ToolkitError(
            f"{source.origin} has {len(unknown)} tensor(s) this encoder would leave out: {some(unknown)}; "
            "the model is of another kind than its config says"
        )


def positions(source: Source, pieces: list[str]) -> torch.Tensor:
    """RoBERTa's positions, which begin behind padding's, each with the one token type's embedding."""
    places, types = (checkpoint_tensor(source, piece) for piece in pieces)
    return places[reference_config(source.config).pad_token_id + 1 :] + types[0]


def distances(source: Source, pieces: list[str], *, decoder: bool) -> torch.Tensor:
    """T5's bias of every distance ``[heads, 2 most + 1]``, from that of its buckets; a decoder sees nothing ahead."""
    reference = reference_config(source.config)
    most = reference.relative_attention_max_distance
    apart = torch.arange(-most, most + 1)
    buckets = T5Attention._relative_position_bucket(apart, not decoder, reference.relative_attention_num_buckets, most)
    bias = checkpoint_tensor(source, pieces[0])[buckets].T
    return bias.masked_fill(apart > 0, -torch.inf) if decoder else bias


def program_tensors(source: Source, precision: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The bundle's tensors, made one at a time so that the largest decides the memory."""
    config = encoder_config(source)
    types = layout(config, precision)
    for name, pieces in parts(config, model_class(source.config)).items():
        if name == "encoder.positions":
            yield name, positions(source, list(pieces))
            continue
        if name.endswith("distances.weight"):
            yield name, distances(source, list(pieces), decoder=name.startswith("decoder"))
            continue
        tensor = torch.cat([checkpoint_tensor(source, piece) for piece in pieces])
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
