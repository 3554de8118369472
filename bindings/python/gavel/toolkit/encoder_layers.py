"""What an encoder's program is made of: its shape, and the layers of RoBERTa's encoder and of T5's encoder and decoder.

``starts`` are where ragged sequences begin, one more than there are: see encoder_program.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from .program import LayerNorm, Linear, Norm, activate, empty, linear


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder (and its decoder) is made of, in the words of the field; sizes in elements."""

    family: str  # "t5" or "roberta"
    layers: int
    decoder_layers: int  # 0: no decoder
    hidden: int
    heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    context: int
    norm_eps: float
    activation: str
    gated: bool
    labels: int
    head: str  # whose state is classified: the encoder's "first" token, or the decoder's "last"
    head_size: int
    head_activation: str
    first_position: int = 0  # RoBERTa: the first token's, behind padding's
    token_types: int = 0  # RoBERTa: of which the first alone is used
    distance: int = 0  # T5: the largest distance of two tokens that has a bias of its own
    buckets: int = 0  # T5: how many biases the distances share
    start: int = 0  # the token the decoder begins with
    tied: bool = True  # the embedding is the vocabulary head
    output_scale: float = 1.0  # of the decoder's states, before the vocabulary head

    @property
    def writes(self) -> bool:
        """Whether the decoder has a vocabulary head."""
        return self.decoder_layers > 0 and self.head == "first"


def activated(x: Tensor, kind: str) -> Tensor:
    if kind == "relu":
        return relu(x)
    return torch.tanh(x) if kind == "tanh" else activate(x, kind)


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """``softmax(q k^T scale + bias) v`` of one sequence: ``[n, heads, D]`` over ``[m, heads, D]``, ``[n, heads D]``."""
    q, k, v = queries.transpose(0, 1)[None], keys.transpose(0, 1)[None], values.transpose(0, 1)[None]
    mask = bias if bias is None else bias[None]
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out[0].transpose(0, 1).reshape(queries.size(0), -1)


def attend_all(qkv: Tensor, starts: list[int], heads: int, biases: list[Tensor], scale: float) -> Tensor:
    """Every sequence to itself; ``qkv`` ``[T, 3 heads D]``, a bias for each sequence or none."""
    split = qkv.view(qkv.size(0), 3, heads, -1)
    attended: list[Tensor] = []
    for b in range(len(starts) - 1):
        one = split[starts[b] : starts[b + 1]]
        bias: Tensor | None = None
        if len(biases) > 0:
            bias = biases[b]
        attended.append(attend(one[:, 0], one[:, 1], one[:, 2], bias, scale))
    return torch.cat(attended)


class Distances(nn.Module):
    """T5's relative positions: for each head and each distance from query to key, ``-most`` to ``most``, what is added
    to the score. Beyond, the furthest count. In a decoder a key ahead has minus infinity."""

    def __init__(self, heads: int, most: int) -> None:
        super().__init__()
        self.most = most
        self.register_buffer("weight", empty(heads, 2 * most + 1))

    def forward(self, first: int, queries: int, keys: int) -> Tensor:
        """``[heads, queries, keys]`` for queries from position ``first`` on."""
        nearest = -(first + queries - 1)
        distances = torch.arange(nearest, nearest + keys + queries - 1, device=self.weight.device)
        line = self.weight.index_select(1, distances.clamp(-self.most, self.most) + self.most)
        # Each query sees the line of distances from one place further left.
        return line.unfold(1, keys, 1).flip(1).contiguous()


class FeedForward(nn.Module):
    """``down(act(up(x)))``, or gated, ``down(act(gate(x)) * up(x))`` (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: EncoderConfig, bias: bool, precision: str) -> None:
        super().__init__()
        self.activation = config.activation
        self.gated = config.gated
        self.up = linear(config.intermediate * (2 if config.gated else 1), config.hidden, bias, precision)
        # T5's widest activations leave fp16's range, so this matrix stays in float32 there, as in transformers.
        narrow = "fp32" if precision == "fp16" and config.family == "t5" else precision
        self.down = linear(config.hidden, config.intermediate, bias, narrow)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        if self.gated:
            gate, value = y.chunk(2, -1)
            return self.down(activated(gate, self.activation) * value)
        return self.down(activated(y, self.activation))


class T5Block(nn.Module):
    """Pre-norm attention and feed-forward; scores are not scaled."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.heads * config.head_dim
        self.attention_norm = Norm(config.hidden, config.norm_eps)
        self.qkv = linear(3 * width, config.hidden, False, precision)
        self.out = linear(config.hidden, width, False, precision)
        self.mlp_norm = Norm(config.hidden, config.norm_eps)
        self.mlp = FeedForward(config, False, precision)

    def forward(self, x: Tensor, starts: list[int], biases: list[Tensor]) -> Tensor:
        x = x + self.out(attend_all(self.qkv(self.attention_norm(x)), starts, self.heads, biases, 1.0))
        return x + self.mlp(self.mlp_norm(x))


class T5Encoder(nn.Module):
    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.distances = Distances(config.heads, config.distance)
        self.layers = nn.ModuleList(T5Block(config, precision) for _ in range(config.layers))
        self.norm = Norm(config.hidden, config.norm_eps)

    def forward(self, x: Tensor, starts: list[int]) -> Tensor:
        biases: list[Tensor] = []
        for b in range(len(starts) - 1):
            length = starts[b + 1] - starts[b]
            biases.append(self.distances(0, length, length))
        for block in self.layers:
            x = block(x, starts, biases)
        return self.norm(x)


class RobertaBlock(nn.Module):
    """Attention and feed-forward, each with its norm behind the sum."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.heads = config.heads
        self.scale = config.head_dim**-0.5
        self.qkv = linear(3 * config.hidden, config.hidden, True, precision)
        self.out = linear(config.hidden, config.hidden, True, precision)
        self.attention_norm = LayerNorm(config.hidden, config.norm_eps)
        self.mlp = FeedForward(config, True, precision)
        self.mlp_norm = LayerNorm(config.hidden, config.norm_eps)

    def forward(self, x: Tensor, starts: list[int]) -> Tensor:
        biases: list[Tensor] = []
        x = self.attention_norm(x + self.out(attend_all(self.qkv(x), starts, self.heads, biases, self.scale)))
        return self.mlp_norm(x + self.mlp(x))


class RobertaEncoder(nn.Module):
    """Learned positions; theirs and the token type's embedding are one table."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.register_buffer("positions", empty(config.context, config.hidden))
        self.embedding_norm = LayerNorm(config.hidden, config.norm_eps)
        self.layers = nn.ModuleList(RobertaBlock(config, precision) for _ in range(config.layers))

    def forward(self, x: Tensor, starts: list[int]) -> Tensor:
        places: list[Tensor] = []
        for b in range(len(starts) - 1):
            places.append(self.positions[: starts[b + 1] - starts[b]])
        x = self.embedding_norm(x + torch.cat(places))
        for block in self.layers:
            x = block(x, starts)
        return x


class DecoderBlock(nn.Module):
    """T5's: attention to what was written, to what was read, and feed-forward."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.heads * config.head_dim
        self.attention_norm = Norm(config.hidden, config.norm_eps)
        self.qkv = linear(3 * width, config.hidden, False, precision)
        self.out = linear(config.hidden, width, False, precision)
        self.cross_norm = Norm(config.hidden, config.norm_eps)
        self.cross_q = linear(width, config.hidden, False, precision)
        self.cross_kv = linear(2 * width, config.hidden, False, precision)
        self.cross_out = linear(config.hidden, width, False, precision)
        self.mlp_norm = Norm(config.hidden, config.norm_eps)
        self.mlp = FeedForward(config, False, precision)

    @torch.jit.export
    def memory(self, states: Tensor) -> Tensor:
        return self.cross_kv(states).view(states.size(0), 2, self.heads, -1)

    def forward(
        self,
        x: Tensor,
        starts: list[int],
        slots: list[int],
        lengths: list[int],
        own: Tensor,
        memory: Tensor,
        memory_starts: list[int],
        biases: list[Tensor],
    ) -> Tensor:
        """``own`` ``[S, C, 2, heads, D]`` and ``memory`` ``[T, 2, heads, D]`` are this layer's."""
        qkv = self.qkv(self.attention_norm(x)).view(x.size(0), 3, self.heads, -1)
        attended: list[Tensor] = []
        for b, slot in enumerate(slots):
            one = qkv[starts[b] : starts[b + 1]]
            seen = lengths[b] + one.size(0)
            own[slot, lengths[b] : seen] = one[:, 1:]
            attended.append(attend(one[:, 0], own[slot, :seen, 0], own[slot, :seen, 1], biases[b], 1.0))
        x = x + self.out(torch.cat(attended))
        queries = self.cross_q(self.cross_norm(x)).view(x.size(0), self.heads, -1)
        crossed: list[Tensor] = []
        for b, slot in enumerate(slots):
            read = memory[memory_starts[slot] : memory_starts[slot + 1]]
            crossed.append(attend(queries[starts[b] : starts[b + 1]], read[:, 0], read[:, 1], None, 1.0))
        x = x + self.cross_out(torch.cat(crossed))
        return x + self.mlp(self.mlp_norm(x))


class T5Decoder(nn.Module):
    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.distances = Distances(config.heads, config.distance)
        self.layers = nn.ModuleList(DecoderBlock(config, precision) for _ in range(config.decoder_layers))
        self.norm = Norm(config.hidden, config.norm_eps)

    @torch.jit.export
    def memory(self, states: Tensor) -> Tensor:
        """The encoder's states ``[T, H]`` as cross-attention needs them."""
        layers: list[Tensor] = []
        for block in self.layers:
            layers.append(block.memory(states))
        return torch.stack(layers)

    def forward(
        self,
        x: Tensor,
        starts: list[int],
        slots: list[int],
        lengths: list[int],
        own: Tensor,
        memory: Tensor,
        memory_starts: list[int],
    ) -> Tensor:
        """Final states of new tokens, which stand in ``x`` as sequences do: see the module's text for the rest."""
        biases: list[Tensor] = []
        for b, length in enumerate(lengths):
            more = starts[b + 1] - starts[b]
            biases.append(self.distances(length, more, length + more))
        for i, block in enumerate(self.layers):
            x = block(x, starts, slots, lengths, own[i], memory[i], memory_starts, biases)
        return self.norm(x)


class Head(nn.Module):
    """Labels from each state, in float32: a dense layer, its activation, and the labels. One at a time, so that no
    label depends on who stands beside it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = config.head_activation
        self.dense = Linear(config.head_size, config.hidden, True, torch.float32)
        self.out = Linear(config.labels, config.head_size, True, torch.float32)

    def forward(self, states: Tensor) -> Tensor:
        rows: list[Tensor] = []
        for state in states.split(1):
            rows.append(self.out(activated(self.dense(state), self.activation)))
        return torch.cat(rows)
