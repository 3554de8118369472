"""The decoder as a TorchScript program: one module for every family, driven by its config.

The program is code without weights: it is scripted on the ``meta`` device, and the engine sets the bundle's mapped
tensors as its attributes. Its contract with the engine, in one place:

``forward(tokens, positions, slots, starts, lengths, asked, prefix_length, prefix_keys, prefix_values, own_keys,
own_values, taps) -> (hidden, tapped)``

* ``tokens, positions``: int64 ``[T]``, the new tokens of B sequences one after another, and where they stand.
* ``slots``: int64 ``[B]``, each sequence's place in the caches; ``starts``: int64 ``[B + 1]``, where its tokens begin
  in ``T``; ``lengths``: int64 ``[B]``, how many tokens its cache already holds. These three stay on the CPU.
* ``prefix_keys, prefix_values``: ``[L, 1, kv_heads, P, head_dim]``, shared by all sequences, of which the first
  ``prefix_length`` tokens count; ``own_keys, own_values``: ``[L, S, kv_heads, C, head_dim]``, written in place. P and C
  are multiples of 16, and the order inside a head's keys is the attention kernel's own.
* ``asked``: int64 ``[M]``, the tokens whose final hidden states come back as ``hidden`` ``[M, H]``.
* ``taps``: layers whose outputs are summed over each sequence's new tokens: ``tapped`` float32 ``[taps, B, H]``. Layer
  0 is the embedding, layer l the l-th block's output before the final norm.

``head(hidden, rows) -> logits``: float32 ``[M, V]``, or only the asked ``rows`` of the vocabulary; for a classifier
``[M, labels]``.

A linear layer has places for a LoRA adapter (Hu et al., arXiv 2106.09685), empty in a bundle of its own: ``lora_a``
``[r, inputs]`` and ``lora_b``, for each of the n layers stacked in it in order ``[outputs_i, r_i]``, the r_i adding up
to r and the scaling folded in; both float32. A language model has one for a classifier's head, ``score``
``[labels, H]``, which then takes the vocabulary's place.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}


@dataclass(frozen=True)
class DecoderConfig:
    """What a decoder is made of, in the words of the field; sizes in elements."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    context: int
    norm_eps: float
    rope_theta: float
    rope_scaling: dict | None = None
    tied: bool = True
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    labels: int = 0  # 0: the language model's own head


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def add_lora(y: Tensor, x: Tensor, lora_a: Tensor, lora_b: List[Tensor]) -> Tensor:
    """``y += B (A x)`` for x ``[T, inputs]``, with a B for each of the layers stacked in y ``[T, outputs]``."""
    inner = torch.nn.functional.linear(x, lora_a)
    output, rank = 0, 0
    for b in lora_b:
        y.narrow(1, output, b.size(0)).addmm_(inner.narrow(1, rank, b.size(1)), b.t())
        output += b.size(0)
        rank += b.size(1)
    return y


def add_lora_rows(weight: Tensor, ids: Tensor, lora_a: Tensor, lora_b: List[Tensor]) -> Tensor:
    """Rows of ``W + B A`` from those of W; of a layer that is not stacked."""
    return torch.addmm(weight, lora_b[0].index_select(0, ids), lora_a)


class Linear(nn.Module):
    """``x W^T + b`` in the weights' precision; float32 in and out."""

    bias: Optional[Tensor]
    lora_a: Optional[Tensor]
    lora_b: List[Tensor]

    def __init__(self, outputs: int, inputs: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", empty(outputs, inputs, dtype=dtype))
        self.register_buffer("bias", empty(outputs) if bias else None)
        self.lora_a = None
        self.lora_b = []

    def forward(self, x: Tensor) -> Tensor:
        y = torch.nn.functional.linear(x.to(self.weight.dtype), self.weight).float()
        bias, lora_a = self.bias, self.lora_a
        if bias is not None:
            y = y + bias
        return y if lora_a is None else add_lora(y, x, lora_a, self.lora_b)

    def gated(self, x: Tensor) -> Tensor:
        """``silu(gate) * value`` for outputs ``[gate, value]``."""
        return torch.ops.gavel.silu_mul(self(x))

    def rows(self, ids: Tensor) -> Tensor:
        weight, lora_a = self.weight.index_select(0, ids).float(), self.lora_a
        return weight if lora_a is None else add_lora_rows(weight, ids, lora_a, self.lora_b)


class LinearInt8(nn.Module):
    """The same with int8 weights, one scale per output, in tiles ``[outputs/16, inputs/4, 16, 4]`` that every kernel
    reads as they are stored, and activations quantised per row."""

    bias: Optional[Tensor]
    lora_a: Optional[Tensor]
    lora_b: List[Tensor]

    def __init__(self, outputs: int, inputs: int, bias: bool) -> None:
        super().__init__()
        self.inputs = inputs
        self.register_buffer("weight", empty(-(-outputs // 16), -(-inputs // 64) * 16, 16, 4, dtype=torch.int8))
        self.register_buffer("scale", empty(outputs))
        self.register_buffer("bias", empty(outputs) if bias else None)
        self.lora_a = None
        self.lora_b = []

    def forward(self, x: Tensor) -> Tensor:
        y, lora_a = torch.ops.gavel.linear_int8(x, self.weight, self.scale, self.bias), self.lora_a
        return y if lora_a is None else add_lora(y, x, lora_a, self.lora_b)

    def gated(self, x: Tensor) -> Tensor:
        if self.lora_a is not None:  # it comes between the product and its gate
            return torch.ops.gavel.silu_mul(self(x))
        return torch.ops.gavel.gated_int8(x, self.weight, self.scale, self.bias)

    def rows(self, ids: Tensor) -> Tensor:
        weight, lora_a = torch.ops.gavel.rows_int8(self.weight, self.scale, ids, self.inputs), self.lora_a
        return weight if lora_a is None else add_lora_rows(weight, ids, lora_a, self.lora_b)


def linear(outputs: int, inputs: int, bias: bool, precision: str) -> nn.Module:
    if precision == "int8":
        return LinearInt8(outputs, inputs, bias)
    return Linear(outputs, inputs, bias, PRECISIONS[precision])


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich, 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", empty(size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.gavel.rms_norm(x, self.weight, self.eps)


class Rope(nn.Module):
    """Rotary positions (Su et al., arXiv 2104.09864); the frequencies already hold the family's scaling."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", empty(head_dim // 2))

    def forward(self, positions: Tensor) -> Tuple[Tensor, Tensor]:
        angles = positions.float()[:, None] * self.frequencies[None, :]
        return angles.cos(), angles.sin()


class Block(nn.Module):
    """Pre-norm attention and gated MLP (SwiGLU, Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: DecoderConfig, layer: int, precision: str) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.heads
        self.kv_heads = config.kv_heads
        attention = config.heads * config.head_dim
        self.attention_norm = Norm(config.hidden, config.norm_eps)
        qkv = attention + 2 * config.kv_heads * config.head_dim
        self.qkv = linear(qkv, config.hidden, config.qkv_bias, precision)
        self.out = linear(config.hidden, attention, config.o_bias, precision)
        self.mlp_norm = Norm(config.hidden, config.norm_eps)
        self.gate_up = linear(2 * config.intermediate, config.hidden, config.mlp_bias, precision)
        self.down = linear(config.hidden, config.intermediate, config.mlp_bias, precision)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        slots: Tensor,
        starts: Tensor,
        lengths: Tensor,
        prefix_length: int,
        prefix_keys: Tensor,
        prefix_values: Tensor,
        own_keys: Tensor,
        own_values: Tensor,
        wanted: Optional[Tensor],
    ) -> Tensor:
        """The states after this block, of all tokens or of the wanted ones alone."""
        attended = torch.ops.gavel.attend(
            self.qkv(self.attention_norm(x)),
            cos,
            sin,
            slots,
            starts,
            lengths,
            prefix_length,
            prefix_keys,
            prefix_values,
            own_keys,
            own_values,
            self.layer,
            self.heads,
            self.kv_heads,
        )
        if wanted is not None:
            x, attended = x.index_select(0, wanted), attended.index_select(0, wanted)
        x = x + self.out(attended)
        return x + self.down(self.gate_up.gated(self.mlp_norm(x)))


class Decoder(nn.Module):
    """A decoder-only transformer; see the module's text for its contract."""

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__()
        self.embedding = linear(config.vocabulary, config.hidden, False, precision)
        self.rope = Rope(config.head_dim)
        self.layers = nn.ModuleList(Block(config, layer, precision) for layer in range(config.layers))
        self.norm = Norm(config.hidden, config.norm_eps)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        slots: Tensor,
        starts: Tensor,
        lengths: Tensor,
        asked: Tensor,
        prefix_length: int,
        prefix_keys: Tensor,
        prefix_values: Tensor,
        own_keys: Tensor,
        own_values: Tensor,
        taps: List[int],
    ) -> Tuple[Tensor, Tensor]:
        x = self.embedding.rows(tokens)
        cos, sin = self.rope(positions)
        tapped = torch.zeros([len(taps), slots.size(0), x.size(1)], dtype=torch.float32, device=x.device)
        for tap, tapped_layer in enumerate(taps):
            if tapped_layer == 0:
                tapped[tap] = torch.ops.gavel.pool(x, starts)
        # Behind the last attention only the asked tokens matter, unless a probe reads that layer.
        last = len(self.layers) if len(self.layers) not in taps else 0
        for i, block in enumerate(self.layers):
            x = block(
                x,
                cos,
                sin,
                slots,
                starts,
                lengths,
                prefix_length,
                prefix_keys,
                prefix_values,
                own_keys,
                own_values,
                asked if i + 1 == last else None,
            )
            for tap, tapped_layer in enumerate(taps):
                if tapped_layer == i + 1:
                    tapped[tap] = torch.ops.gavel.pool(x, starts)
        return self.norm(x if last > 0 else x.index_select(0, asked)), tapped


class LanguageModel(Decoder):
    """A decoder with a vocabulary to choose from, and a place for an adapter's classifier."""

    score: Optional[Tensor]

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.score = None


class TiedDecoder(LanguageModel):
    """The embedding's rows are the head's."""

    @torch.jit.export
    def head(self, hidden: Tensor, rows: Optional[Tensor]) -> Tensor:
        score = self.score
        if score is not None:
            return torch.nn.functional.linear(hidden, score)
        if rows is None:
            return self.embedding(hidden)
        return torch.nn.functional.linear(hidden, self.embedding.rows(rows))


class UntiedDecoder(LanguageModel):
    """A head of its own."""

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.unembedding = linear(config.vocabulary, config.hidden, False, precision)

    @torch.jit.export
    def head(self, hidden: Tensor, rows: Optional[Tensor]) -> Tensor:
        score = self.score
        if score is not None:
            return torch.nn.functional.linear(hidden, score)
        if rows is None:
            return self.unembedding(hidden)
        return torch.nn.functional.linear(hidden, self.unembedding.rows(rows))


class ClassifierDecoder(Decoder):
    """Labels instead of a vocabulary, in float32."""

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.score = Linear(config.labels, config.hidden, False, torch.float32)

    @torch.jit.export
    def head(self, hidden: Tensor, rows: Optional[Tensor]) -> Tensor:
        return self.score(hidden)


def build(config: DecoderConfig, precision: str) -> torch.jit.ScriptModule:
    """The scripted program on the ``meta`` device. Needs the ``gavel`` operators loaded in this process
    (``torch.ops.load_library`` of the Gavel library)."""
    kind = ClassifierDecoder if config.labels else TiedDecoder if config.tied else UntiedDecoder
    return torch.jit.script(kind(config, precision).eval())
