"""A checkpoint's tensors under the program's names, some rows at a time, so that no large one is held whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .architecture import decoder_config, family_of, rope_tables
from .errors import ToolkitError
from .program import PRECISIONS, DecoderConfig, decoder
from .quantize import quantize
from .sources import Source
from .weights import Chunk, Layout

Shapes = dict[str, tuple[int, ...]]
CHUNK_BYTES = 64 << 20  # of float32 at once
# Buffers some checkpoints carry that say nothing the config does not.
IGNORED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|(self_)?attn\.(masked_)?bias)$")


@dataclass(frozen=True)
class Part:
    """What a tensor of the program, before quantisation, is stacked from: the checkpoint's tensors in order."""

    pieces: Shapes
    offset: float = 0.0  # added to each number
    stacked: bool = False  # the pieces are the rows of a new axis


Parts = dict[str, Part]


def layout(config: DecoderConfig, precision: str) -> Layout:
    """Name, type and shape of every tensor the program asks for, in its order."""
    return {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in decoder(config, precision).state_dict().items()
    }


def parts(config: DecoderConfig) -> Parts:
    """Every tensor of the program but the rotary tables, and where it comes from."""
    family = family_of({"model_type": config.family})
    names, hidden, middle = family.names, config.hidden, config.intermediate
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    table: Parts = {"embedding.weight": Part({f"{names.embedding}.weight": (config.vocabulary, hidden)})}
    if not config.rotary_dim:
        table["positions.weight"] = Part({f"{names.positions}.weight": (config.context, hidden)})

    def linear(ours: str, theirs: dict[str, int], inputs: int, bias: bool) -> None:
        table[f"{ours}.weight"] = Part({f"{name}.weight": (rows, inputs) for name, rows in theirs.items()})
        if bias:
            table[f"{ours}.bias"] = Part({f"{name}.bias": (rows,) for name, rows in theirs.items()})

    def norm(ours: str, theirs: str) -> None:
        table[f"{ours}.weight"] = Part({f"{theirs}.weight": (hidden,)}, offset=family.norm_offset)
        if config.layer_norm:
            table[f"{ours}.bias"] = Part({f"{theirs}.bias": (hidden,)})

    def split(theirs: tuple[str, ...], rows: tuple[int, ...]) -> dict[str, int]:
        """The rows of each, or of the one that holds all."""
        return dict(zip(theirs, rows, strict=True)) if len(theirs) > 1 else {theirs[0]: sum(rows)}

    for i in range(config.layers):
        ours, theirs = f"layers.{i}", f"{names.layers}.{i}"
        norm(f"{ours}.attention_norm", f"{theirs}.{names.attention_norm}")
        qkv = tuple(f"{theirs}.{name}" for name in names.qkv)
        linear(f"{ours}.qkv", split(qkv, (queries, keys, keys)), hidden, config.qkv_bias)
        if config.head_norms:
            pieces: Shapes = {f"{theirs}.{name}.weight": (config.head_dim,) for name in names.head_norm}
            table[f"{ours}.head_norm.weight"] = Part(pieces, offset=family.norm_offset, stacked=True)
        linear(f"{ours}.out", {f"{theirs}.{names.out}": hidden}, queries, config.o_bias)
        if config.norms_behind:
            norm(f"{ours}.attention_out_norm", f"{theirs}.{names.attention_out_norm}")
        norm(f"{ours}.mlp_norm", f"{theirs}.{names.mlp_norm}")
        gate_up = tuple(f"{theirs}.{name}" for name in names.gate_up)
        linear(f"{ours}.gate_up", split(gate_up, (middle,) * (2 if config.gated else 1)), hidden, config.mlp_bias)
        linear(f"{ours}.down", {f"{theirs}.{names.down}": hidden}, middle, config.mlp_bias)
        if config.norms_behind:
            norm(f"{ours}.mlp_out_norm", f"{theirs}.{names.mlp_out_norm}")
    norm("norm", names.norm)
    if config.labels:
        table["score.weight"] = Part({"score.weight": (config.labels, hidden)})
    elif not config.tied:
        table["unembedding.weight"] = Part({"lm_head.weight": (config.vocabulary, hidden)})
    return table


def checkpoint_shapes(table: Parts) -> Shapes:
    """Every tensor the checkpoint must have."""
    return {name: shape for part in table.values() for name, shape in part.pieces.items()}


def check(source: Source, table: Parts, ignored: re.Pattern[str] = IGNORED) -> None:
    """Names missing, mis-shaped and unknown tensors before anything is computed; the `ignored` may be there."""
    wanted, found = checkpoint_shapes(table), source.shapes()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ToolkitError(f"{source.origin} lacks {len(missing)} tensor(s) its config asks for: {some(missing)}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ToolkitError(f"{source.origin}: {name} has shape {list(found[name])}, its config says {list(shape)}")
    known = set(wanted) | {"lm_head.weight"}
    unknown = [name for name in found if name not in known and not ignored.search(name)]
    if unknown:
        raise ToolkitError(
            f"{source.origin} has {len(unknown)} tensor(s) this program would leave out: {some(unknown)}; "
            "the model is of another kind than its config says"
        )


def some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def checkpoint_rows(source: Source, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
    """Some rows of a tensor, or all of it, as float32; refused by name where they hold anything but finite numbers."""
    tensor = source.tensor(name, first, last)
    if not tensor.is_floating_point():
        raise ToolkitError(f"{source.origin}: {name} holds {tensor.dtype}, not floating-point weights")
    tensor = tensor.to(torch.float32)
    if not finite(tensor):
        raise ToolkitError(f"{source.origin}: {name} holds NaN or infinite values; the checkpoint is damaged")
    return tensor


def finite(tensor: torch.Tensor) -> bool:
    """Whether all numbers are; NaN and infinity pass into the least and the largest."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def part_rows(source: Source, part: Part, first: int, last: int) -> torch.Tensor:
    """Rows [first, last) of a program's tensor, float32."""
    if part.stacked:
        rows = torch.stack([checkpoint_rows(source, name) for name in part.pieces])[first:last]
    else:
        found, begin = [], 0
        for name, (count, *_) in part.pieces.items():
            if first < begin + count and last > begin:
                found.append(checkpoint_rows(source, name, max(first - begin, 0), min(last - begin, count)))
            begin += count
        rows = found[0] if len(found) == 1 else torch.cat(found)
    return rows + part.offset if part.offset else rows


def part_shape(part: Part) -> tuple[int, ...]:
    shapes = list(part.pieces.values())
    return (len(shapes), *shapes[0]) if part.stacked else (sum(shape[0] for shape in shapes), *shapes[0][1:])


def chunks(source: Source, table: Parts, wanted: Layout, precision: str) -> Iterator[Chunk]:
    """The bundle's tensors of `table` in the types of `wanted`, so many rows at a time as `CHUNK_BYTES` hold."""
    for name, part in table.items():
        count, *rest = part_shape(part)
        step = max(16, CHUNK_BYTES // (4 * max(1, torch.Size(rest).numel())) // 16 * 16)
        for first in range(0, count, step):
            rows = part_rows(source, part, first, min(first + step, count))
            dtype = wanted[name][0]
            if dtype == PRECISIONS["int8"]:
                tiles, scale = quantize(rows)
                yield name, first // 16, tiles
                yield name.removesuffix("weight") + "scale", first, scale
                continue
            cast = rows.to(dtype)
            if not finite(cast):
                raise ToolkitError(f"{source.origin}: {name} overflows {precision}; export with bf16, fp32 or int8")
            yield name, first, cast


def decoder_chunks(source: Source, precision: str) -> Iterator[Chunk]:
    """All of a decoder's tensors."""
    config = decoder_config(source.config)
    frequencies, factors = rope_tables(source.config)
    yield "rope.frequencies", 0, frequencies
    yield "rope.factors", 0, factors
    yield from chunks(source, parts(config), layout(config, precision), precision)
