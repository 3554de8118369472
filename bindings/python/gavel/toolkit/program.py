"""The decoder as a TorchScript program: one module for every family, driven by its config.

The program is code without weights: it is scripted on the ``meta`` device, and the engine sets the bundle's mapped
tensors as its attributes. Its contract with the engine, in one place:

``forward(tokens, positions, slots, starts, lengths, asked, rope_set, prefix_length, prefix_keys, prefix_values,
own_keys, own_values, taps) -> (hidden, tapped)``

* ``tokens, positions``: int64 ``[T]``, the new tokens of B sequences one after another, and where they stand.
* ``slots``: int64 ``[B]``, each sequence's place in the caches; ``starts``: int64 ``[B + 1]``, where its tokens begin
  in ``T``; ``lengths``: int64 ``[B]``, how many tokens its cache already holds. These three stay on the CPU.
* ``rope_set``: which set of rotary frequencies is used: 0, or 1 in sequences longer than the manifest's
  ``rope_switch`` (LongRoPE, Ding et al., arXiv 2402.13753). All that a cache holds must be of one set.
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
    attention_scale: float
    rotary_dim: int  # how many numbers of a head are rotated; 0: positions are learned and added to the embedding
    rope_kinds: tuple[int, ...]  # each layer's kind of rotary frequencies
    rope_switch: int = 0  # sequences longer than this use the second set of frequencies; 0: there is one set
    windows: tuple[int, ...] = ()  # how many tokens each layer's attention reaches back, itself included; 0: all
    layer_norm: bool = False  # LayerNorm with biases instead of RMSNorm
    norms_behind: bool = False  # a norm behind attention and MLP too
    head_norms: bool = False  # an RMSNorm of each query and key head
    activation: str = "silu"  # silu, gelu_tanh or gelu
    gated: bool = True  # activation(gate) * up instead of activation(up)
    tied: bool = True
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    attention_softcap: float = 0.0  # 0: none
    logit_softcap: float = 0.0
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    labels: int = 0  # 0: the language model's own head


def activate(x: Tensor, activation: str) -> Tensor:
    """silu, or GELU (Hendrycks and Gimpel, arXiv 1606.08415) as it is or by its tanh approximation."""
    if activation == "silu":
        return torch.nn.functional.silu(x)
    if activation == "gelu_tanh":
        return torch.ops.gavel.gelu(x)
    return torch.nn.functional.gelu(x)


def gate(x: Tensor, activation: str) -> Tensor:
    """``activation(gate) * up`` for x = ``[gate, up]``."""
    if activation == "silu":
        return torch.ops.gavel.silu_mul(x)
    if activation == "gelu_tanh":
        return torch.ops.gavel.gelu_mul(x)
    gates, ups = x.chunk(2, -1)
    return torch.nn.functional.gelu(gates) * ups


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def add_lora(y: Tensor, x: Tensor, lora_a: Tensor, lora_b: List[Tensor]) -> Tensor:
    """``y += B (A x)`` for x ``[T, inputs]``, with a B for each of the layers stacked in y ``[T, outputs]``."""
    torch.ops.gavel.add_lora(y, x, lora_a, lora_b)
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

    def gated(self, x: Tensor, activation: str) -> Tensor:
        """``activation(gate) * up`` for outputs ``[gate, up]``."""
        return gate(self(x), activation)

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

    def gated(self, x: Tensor, activation: str) -> Tensor:
        if activation == "silu" and self.lora_a is None:
            return torch.ops.gavel.gated_int8(x, self.weight, self.scale, self.bias)
        return gate(self(x), activation)

    def rows(self, ids: Tensor) -> Tensor:
        weight, lora_a = torch.ops.gavel.rows_int8(self.weight, self.scale, ids, self.inputs), self.lora_a
        return weight if lora_a is None else add_lora_rows(weight, ids, lora_a, self.lora_b)


def linear(outputs: int, inputs: int, bias: bool, precision: str) -> nn.Module:
    if precision == "int8":
        return LinearInt8(outputs, inputs, bias)
    return Linear(outputs, inputs, bias, PRECISIONS[precision])


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich, arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", empty(size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.gavel.rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """LayerNorm (Ba et al., arXiv 1607.06450)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.size = size
        self.eps = eps
        self.register_buffer("weight", empty(size))
        self.register_buffer("bias", empty(size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(x, [self.size], self.weight, self.bias, self.eps)


def norm(config: DecoderConfig) -> nn.Module:
    return (LayerNorm if config.layer_norm else Norm)(config.hidden, config.norm_eps)


class HeadNorm(nn.Module):
    """RMSNorm of each query and key head (Henry et al., arXiv 2010.04245); weight ``[2, head_dim]``."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.kv_heads = config.kv_heads
        self.eps = config.norm_eps
        self.register_buffer("weight", empty(2, config.head_dim))

    def forward(self, qkv: Tensor) -> Tensor:
        return torch.ops.gavel.head_norm(qkv, self.weight, self.heads, self.kv_heads, self.eps)


class Rope(nn.Module):
    """Rotary positions (Su et al., arXiv 2104.09864). The frequencies ``[sets * kinds, rotary_dim / 2]`` already hold
    the family's scaling; cosine and sine are multiplied by ``factors`` ``[sets * kinds]``."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.kinds = max(config.rope_kinds) + 1
        rows = self.kinds * (2 if config.rope_switch else 1)
        self.register_buffer("frequencies", empty(rows, config.rotary_dim // 2))
        self.register_buffer("factors", empty(rows))

    def forward(self, positions: Tensor, rope_set: int) -> Tuple[List[Tensor], List[Tensor]]:
        """Cosines and sines ``[T, rotary_dim / 2]`` for each kind."""
        cosines: List[Tensor] = []
        sines: List[Tensor] = []
        for row in range(rope_set * self.kinds, (rope_set + 1) * self.kinds):
            angles = positions.float()[:, None] * self.frequencies[row][None, :]
            cosines.append(angles.cos() * self.factors[row])
            sines.append(angles.sin() * self.factors[row])
        return cosines, sines


class Block(nn.Module):
    """Attention, then an MLP (gated: Shazeer, arXiv 2002.05202), each with a norm before it and, in some families,
    behind it."""

    def __init__(self, config: DecoderConfig, layer: int, precision: str) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.heads
        self.kv_heads = config.kv_heads
        self.scale = config.attention_scale
        self.softcap = config.attention_softcap
        self.window = config.windows[layer] if config.windows else 0
        self.kind = config.rope_kinds[layer]
        self.activation = config.activation
        self.gated = config.gated
        self.residual_scale = config.residual_scale
        attention = config.heads * config.head_dim
        self.attention_norm = norm(config)
        qkv = attention + 2 * config.kv_heads * config.head_dim
        self.qkv = linear(qkv, config.hidden, config.qkv_bias, precision)
        self.head_norm = HeadNorm(config) if config.head_norms else nn.Identity()
        self.out = linear(config.hidden, attention, config.o_bias, precision)
        self.attention_out_norm = norm(config) if config.norms_behind else nn.Identity()
        self.mlp_norm = norm(config)
        # Of a plain MLP, what goes up is all there is.
        up = (2 if config.gated else 1) * config.intermediate
        self.gate_up = linear(up, config.hidden, config.mlp_bias, precision)
        self.down = linear(config.hidden, config.intermediate, config.mlp_bias, precision)
        self.mlp_out_norm = norm(config) if config.norms_behind else nn.Identity()

    def mlp(self, x: Tensor) -> Tensor:
        if self.gated:
            return self.down(self.gate_up.gated(x, self.activation))
        return self.down(activate(self.gate_up(x), self.activation))

    def add(self, x: Tensor, more: Tensor) -> Tensor:
        return x + more if self.residual_scale == 1.0 else x + more * self.residual_scale

    def forward(
        self,
        x: Tensor,
        cosines: List[Tensor],
        sines: List[Tensor],
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
            self.head_norm(self.qkv(self.attention_norm(x))),
            cosines[self.kind],
            sines[self.kind],
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
            self.scale,
            self.softcap,
            self.window,
        )
        if wanted is not None:
            x, attended = x.index_select(0, wanted), attended.index_select(0, wanted)
        x = self.add(x, self.attention_out_norm(self.out(attended)))
        return self.add(x, self.mlp_out_norm(self.mlp(self.mlp_norm(x))))


class NoPositions(nn.Module):
    """What is added to the embedding where positions are rotated."""

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x


class LearnedPositions(nn.Module):
    """A vector for each position, added to the embedding."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.register_buffer("weight", empty(config.context, config.hidden))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + self.weight.index_select(0, positions)


class Decoder(nn.Module):
    """A decoder-only transformer; see the module's text for its contract."""

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__()
        self.embedding_scale = config.embedding_scale
        self.logit_scale = config.logit_scale
        self.logit_softcap = config.logit_softcap
        self.embedding = linear(config.vocabulary, config.hidden, False, precision)
        self.positions = NoPositions() if config.rotary_dim else LearnedPositions(config)
        self.rope = Rope(config)
        self.layers = nn.ModuleList(Block(config, layer, precision) for layer in range(config.layers))
        self.norm = norm(config)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        slots: Tensor,
        starts: Tensor,
        lengths: Tensor,
        asked: Tensor,
        rope_set: int,
        prefix_length: int,
        prefix_keys: Tensor,
        prefix_values: Tensor,
        own_keys: Tensor,
        own_values: Tensor,
        taps: List[int],
    ) -> Tuple[Tensor, Tensor]:
        x = self.embedding.rows(tokens)
        if self.embedding_scale != 1.0:
            x = x * self.embedding_scale
        x = self.positions(x, positions)
        cosines, sines = self.rope(positions, rope_set)
        tapped = torch.zeros([len(taps), slots.size(0), x.size(1)], dtype=torch.float32, device=x.device)
        for tap, tapped_layer in enumerate(taps):
            if tapped_layer == 0:
                tapped[tap] = torch.ops.gavel.pool(x, starts)
        # Behind the last attention only the asked tokens matter, unless a probe reads that layer.
        pruned = len(self.layers) not in taps
        for i, block in enumerate(self.layers):
            x = block(
                x,
                cosines,
                sines,
                slots,
                starts,
                lengths,
                prefix_length,
                prefix_keys,
                prefix_values,
                own_keys,
                own_values,
                asked if pruned and i + 1 == len(self.layers) else None,
            )
            for tap, tapped_layer in enumerate(taps):
                if tapped_layer == i + 1:
                    tapped[tap] = torch.ops.gavel.pool(x, starts)
        return self.norm(x if pruned else x.index_select(0, asked)), tapped

    def scaled(self, logits: Tensor) -> Tensor:
        """Logits as the family has them: scaled, or capped to ``softcap * tanh(logit / softcap)``."""
        if self.logit_scale != 1.0:
            logits = logits * self.logit_scale
        if self.logit_softcap != 0.0:
            logits = torch.tanh(logits / self.logit_softcap) * self.logit_softcap
        return logits


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
            return self.scaled(self.embedding(hidden))
        return self.scaled(torch.nn.functional.linear(hidden, self.embedding.rows(rows)))


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
            return self.scaled(self.unembedding(hidden))
        return self.scaled(torch.nn.functional.linear(hidden, self.unembedding.rows(rows)))


class ClassifierDecoder(Decoder):
    """Labels instead of a vocabulary, in float32; one label is a reward."""

    def __init__(self, config: DecoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.score = Linear(config.labels, config.hidden, False, torch.float32)

    @torch.jit.export
    def head(self, hidden: Tensor, rows: Optional[Tensor]) -> Tensor:
        return self.score(hidden)


def decoder(config: DecoderConfig, precision: str) -> Decoder:
    """The module on the ``meta`` device."""
    kind = ClassifierDecoder if config.labels else TiedDecoder if config.tied else UntiedDecoder
    return kind(config, precision).eval()


def build(config: DecoderConfig, precision: str) -> torch.jit.ScriptModule:
    """The scripted program. Needs the ``gavel`` operators loaded in this process (``torch.ops.load_library`` of the
    Gavel library)."""
    return torch.jit.script(decoder(config, precision))
