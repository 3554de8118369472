"""An encoder's checkpoint tensors under the program's names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from transformers.models.t5.modeling_t5 import T5Attention

from .encoder_layers import EncoderConfig
from .encoder_program import module
from .errors import ToolkitError
from .sources import Source
from .tensors import Part, Parts, checkpoint_rows, chunks
from .tensors import check as check_tensors
from .weights import Chunk, Layout

# What checkpoints carry beside what is read: T5's embedding under its other names (compared with the first), buffers,
# a pooler that the classifier does not use, and the second copy of the decoder's positions that early T5 files have.
EMBEDDINGS = re.compile(r"^(transformer\.)?(encoder|decoder)\.embed_tokens\.weight$")
IGNORED = re.compile(
    EMBEDDINGS.pattern + r"|^roberta\.(embeddings\.(position|token_type)_ids|pooler\..*)$"
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$"
)


def layout(config: EncoderConfig, precision: str) -> Layout:
    """Name, type and shape of every tensor the program asks for, in its order."""
    return {name: (t.dtype, tuple(t.shape)) for name, t in module(config, precision).state_dict().items()}


def parts(config: EncoderConfig) -> Parts:
    """Every tensor of the program but those of `computed_parts`, and where it comes from."""
    return roberta_parts(config) if config.family == "roberta" else t5_parts(config)


def computed_parts(config: EncoderConfig) -> Parts:
    """The tensors that are more than rows of the checkpoint's, and the checkpoint's they are made of."""
    if config.family == "roberta":
        tables = {"position": config.first_position + config.context, "token_type": config.token_types}
        pieces = {f"roberta.embeddings.{n}_embeddings.weight": (rows, config.hidden) for n, rows in tables.items()}
        return {"encoder.positions": Part(pieces)}
    return {
        f"{stack}.distances.weight": Part(
            {
                f"{prefix(config)}{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (
                    config.buckets,
                    config.heads,
                )
            }
        )
        for stack in ("encoder", "decoder")[: 2 if config.decoder_layers else 1]
    }


def prefix(config: EncoderConfig) -> str:
    return "transformer." if config.head == "last" else ""


def dense(table: Parts, ours: str, theirs: dict[str, int], inputs: int, *, bias: bool) -> None:
    table[f"{ours}.weight"] = Part({f"{name}.weight": (rows, inputs) for name, rows in theirs.items()})
    if bias:
        table[f"{ours}.bias"] = Part({f"{name}.bias": (rows,) for name, rows in theirs.items()})


def roberta_parts(config: EncoderConfig) -> Parts:
    hidden, middle, embeddings = config.hidden, config.intermediate, "roberta.embeddings"
    table: Parts = {"embedding.weight": Part({f"{embeddings}.word_embeddings.weight": (config.vocabulary, hidden)})}

    def norm(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias"):
            table[f"{ours}.{kind}"] = Part({f"{theirs}.{kind}": (hidden,)})

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


def t5_parts(config: EncoderConfig) -> Parts:
    hidden, middle, width = config.hidden, config.intermediate, config.heads * config.head_dim
    table: Parts = {"embedding.weight": Part({f"{prefix(config)}shared.weight": (config.vocabulary, hidden)})}

    def norm(ours: str, theirs: str) -> None:
        table[f"{ours}.weight"] = Part({f"{theirs}.weight": (hidden,)})

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
        stacked = f"{prefix(config)}{stack}"
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
    if config.writes and not config.tied:
        table["unembedding.weight"] = Part({"lm_head.weight": (config.vocabulary, hidden)})
    inner, outer = ("class_head.0", "class_head.2")
    if config.head == "last":
        inner, outer = ("classification_head.dense", "classification_head.out_proj")
    dense(table, "head.dense", {inner: config.head_size}, hidden, bias=True)
    dense(table, "head.out", {outer: config.labels}, config.head_size, bias=True)
    return table


def check(source: Source, config: EncoderConfig) -> None:
    """Names missing, mis-shaped and unknown tensors before anything is computed."""
    check_tensors(source, parts(config) | computed_parts(config), IGNORED)
    if config.family == "roberta":
        return
    shared = f"{prefix(config)}shared.weight"
    for name in filter(EMBEDDINGS.match, source.shapes()):
        if not torch.equal(source.tensor(name), source.tensor(shared)):
            raise ToolkitError(f"{source.origin}: {name} differs from {shared}; embeddings apart are not supported")


def positions(source: Source, config: EncoderConfig, pieces: list[str]) -> torch.Tensor:
    """RoBERTa's positions, which begin behind padding's, each with the one token type's embedding."""
    places, types = (checkpoint_rows(source, piece) for piece in pieces)
    return places[config.first_position :] + types[0]


def distances(source: Source, config: EncoderConfig, pieces: list[str], *, decoder: bool) -> torch.Tensor:
    """T5's bias of every distance ``[heads, 2 most + 1]``, from that of its buckets; a decoder sees nothing ahead."""
    apart = torch.arange(-config.distance, config.distance + 1)
    buckets = T5Attention._relative_position_bucket(apart, not decoder, config.buckets, config.distance)
    bias = checkpoint_rows(source, pieces[0])[buckets].T
    return bias.masked_fill(apart > 0, -torch.inf) if decoder else bias


def encoder_chunks(source: Source, config: EncoderConfig, precision: str) -> Iterator[Chunk]:
    """All of an encoder's tensors."""
    for name, part in computed_parts(config).items():
        pieces = list(part.pieces)
        if name == "encoder.positions":
            yield name, 0, positions(source, config, pieces)
        else:
            yield name, 0, distances(source, config, pieces, decoder=name.startswith("decoder"))
    yield from chunks(source, parts(config), layout(config, precision), precision)
