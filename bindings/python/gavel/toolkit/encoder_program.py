"""Encoders that classify, and their decoders, as a TorchScript program: T5 (Raffel et al., arXiv 1910.10683) and
RoBERTa (Liu et al., arXiv 1907.11692).

Like the decoder's it is code without weights, scripted on the ``meta`` device. Sequences stand one after another and
are never padded: sequence b is ``tokens[starts[b]:starts[b + 1]]``, each has a token at least, and each is attended to
alone. Its contract with the engine, in one place:

``classify(tokens, starts) -> logits``: int64 ``[T]`` and ``B + 1`` numbers to float32 ``[B, labels]``.

Where there is a decoder with a vocabulary head (``kind`` encoder_decoder, head "first"):

* ``read(tokens, starts) -> memory``: float32 ``[L, T, 2, heads, head_dim]``, what the decoder's cross-attention needs
  of the encoder's states: keys, then values.
* ``step(tokens, slots, lengths, own, memory, starts) -> logits``: one more token for each of n sequences, ``tokens``
  int64 ``[n]``, and what comes next, float32 ``[n, V]``. ``slots``: n places in ``starts`` (into memory) and in the
  cache ``own`` ``[L, S, C, 2, heads, head_dim]``, which already holds ``lengths[i]`` tokens of sequence i and is
  written in place.
"""

import torch
from torch import Tensor, nn

from .encoder_layers import EncoderConfig, Head, RobertaEncoder, T5Decoder, T5Encoder
from .program import linear


def first_tokens(states: Tensor, starts: list[int]) -> Tensor:
    return states.index_select(0, torch.tensor(starts[:-1], dtype=torch.int64, device=states.device))


class FirstClassifier(nn.Module):
    """An encoder; the first token's state is classified."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.embedding = linear(config.vocabulary, config.hidden, False, precision)
        self.encoder = (RobertaEncoder if config.family == "roberta" else T5Encoder)(config, precision)
        self.head = Head(config)

    @torch.jit.export
    def classify(self, tokens: Tensor, starts: list[int]) -> Tensor:
        return self.head(first_tokens(self.encoder(self.embedding.rows(tokens), starts), starts))


class TiedWriter(FirstClassifier):
    """The same with a decoder that writes, as RankEF's (Sun et al., arXiv 2408.13976); the embedding is its head."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.output_scale = config.output_scale
        self.decoder = T5Decoder(config, precision)

    @torch.jit.export
    def read(self, tokens: Tensor, starts: list[int]) -> Tensor:
        return self.decoder.memory(self.encoder(self.embedding.rows(tokens), starts))

    def hidden(
        self, tokens: Tensor, slots: list[int], lengths: list[int], own: Tensor, memory: Tensor, starts: list[int]
    ) -> Tensor:
        each = [i for i in range(len(slots) + 1)]
        x = self.decoder(self.embedding.rows(tokens), each, slots, lengths, own, memory, starts)
        return x * self.output_scale

    @torch.jit.export
    def step(
        self, tokens: Tensor, slots: list[int], lengths: list[int], own: Tensor, memory: Tensor, starts: list[int]
    ) -> Tensor:
        return self.embedding(self.hidden(tokens, slots, lengths, own, memory, starts))


class UntiedWriter(TiedWriter):
    """A vocabulary head of its own."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__(config, precision)
        self.unembedding = linear(config.vocabulary, config.hidden, False, precision)

    @torch.jit.export
    def step(
        self, tokens: Tensor, slots: list[int], lengths: list[int], own: Tensor, memory: Tensor, starts: list[int]
    ) -> Tensor:
        return self.unembedding(self.hidden(tokens, slots, lengths, own, memory, starts))


class LastClassifier(nn.Module):
    """T5's decoder reads the sequence once more, one token later; its last token's state is classified."""

    def __init__(self, config: EncoderConfig, precision: str) -> None:
        super().__init__()
        self.start = config.start
        self.cache = (config.decoder_layers, config.heads, config.head_dim)
        self.embedding = linear(config.vocabulary, config.hidden, False, precision)
        self.encoder = T5Encoder(config, precision)
        self.decoder = T5Decoder(config, precision)
        self.head = Head(config)

    @torch.jit.export
    def classify(self, tokens: Tensor, starts: list[int]) -> Tensor:
        memory = self.decoder.memory(self.encoder(self.embedding.rows(tokens), starts))
        shifted = tokens.roll(1)
        longest = 0
        slots: list[int] = []
        last: list[int] = []
        for b in range(len(starts) - 1):
            shifted[starts[b]] = self.start
            longest = max(longest, starts[b + 1] - starts[b])
            slots.append(b)
            last.append(starts[b + 1] - 1)
        layers, heads, head_dim = self.cache
        own = torch.empty([layers, len(slots), longest, 2, heads, head_dim], device=tokens.device)
        unread = [0 for _ in slots]
        states = self.decoder(self.embedding.rows(shifted), starts, slots, unread, own, memory, starts)
        return self.head(states.index_select(0, torch.tensor(last, dtype=torch.int64, device=tokens.device)))


def module(config: EncoderConfig, precision: str) -> nn.Module:
    """The program as a module on the ``meta`` device."""
    if config.head == "last":
        return LastClassifier(config, precision)
    if not config.decoder_layers:
        return FirstClassifier(config, precision)
    return TiedWriter(config, precision) if config.tied else UntiedWriter(config, precision)


def build(config: EncoderConfig, precision: str) -> torch.jit.ScriptModule:
    """The scripted program on the ``meta`` device. Needs the ``gavel`` operators loaded in this process."""
    return torch.jit.script(module(config, precision).eval())
