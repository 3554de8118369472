"""transformers' own model on a checkpoint's tensors: what every bundle is compared with.

`Reference` streams: a layer's weights are there while it computes and gone afterwards, and of the embedding only the
asked rows are read, so that a model far larger than memory still has a reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from .architecture import decoder_config, family_of, model_class, reference_config
from .families import MODELS, Names
from .program import PRECISIONS
from .quantize import dequantize, quantize, round_rows
from .sources import Source
from .tensors import CHUNK_BYTES, checkpoint_rows, parts

# How far another order of sums may put a product off, relative to it.
DISTURBANCE = {"bf16": 2.0**-8, "fp16": 2.0**-11, "int8": 1e-6}


def empty_model(source: Source) -> PreTrainedModel:
    """transformers' model in fp32 without its weights, but with what no checkpoint holds."""
    config = reference_config(source.config)
    config._attn_implementation = "eager"  # the one that caps attention scores
    with torch.device("meta"):
        model = MODELS[model_class(source.config)](config)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("RotaryEmbedding"):
                setattr(module, name, type(child)(config=config))
        if hasattr(module, "scalar_embed_scale"):
            module.embed_scale = torch.tensor(module.scalar_embed_scale)
    return model.eval()


def reference_model(source: Source, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """transformers' own model on the checkpoint's tensors, whole in memory."""
    model = empty_model(source)
    tied = model.config.tie_word_embeddings and "lm_head.weight" in model.state_dict()
    wanted = [key for key in model.state_dict() if not (tied and key == "lm_head.weight")]
    model.load_state_dict({key: checkpoint_rows(source, key).to(dtype) for key in wanted}, strict=not tied, assign=True)
    if tied:
        model.tie_weights()
    return model.eval()


def rounded(weight: torch.Tensor, precision: str) -> torch.Tensor:
    """A matrix as a bundle of this precision holds it."""
    if precision == "fp32":
        return weight
    if precision == "int8":
        blocks = weight.split(1024)  # not all at once: that would take the matrix's memory several times
        return torch.cat([dequantize(*quantize(block), weight.shape[1]) for block in blocks])
    return weight.to(PRECISIONS[precision]).to(torch.float32)


def trim() -> None:
    """Gives freed memory back to the system, which glibc would keep: layer by layer it would grow."""
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim_heap:
        trim_heap(0)


def narrow_inputs(module: nn.Module, precision: str) -> None:
    """From now on what goes into this module's products is rounded as a bundle of this precision does."""
    if precision == "fp32":
        return

    def narrow(linear: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (round_rows(inputs[0]) if precision == "int8" else inputs[0].to(PRECISIONS[precision]).float(),)

    for linear in linears(module):
        linear.register_forward_pre_hook(narrow)


def rounded_product(linear: nn.Linear, out: torch.Tensor, precision: str) -> torch.Tensor:
    """What comes out of a layer, rounded before its bias as a bundle of a narrow floating-point precision does."""
    if precision not in ("bf16", "fp16"):
        return out
    bias = 0.0 if linear.bias is None else linear.bias
    return (out - bias).to(PRECISIONS[precision]).float() + bias


def linears(module: nn.Module) -> list[nn.Linear]:
    return [child for child in module.modules() if isinstance(child, nn.Linear)]


class Rows(nn.Module):
    """An embedding that reads the asked rows alone."""

    def __init__(self, source: Source, name: str, precision: str, scale: float = 1.0) -> None:
        super().__init__()
        self._source, self._name, self._precision, self._scale = source, name, precision, scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        unique, places = ids.unique(return_inverse=True)
        rows = [checkpoint_rows(self._source, self._name, i, i + 1) for i in unique.tolist()]
        return rounded(torch.cat(rows), self._precision)[places] * self._scale


class Reference:
    """The states and logits of token ids by the reference implementation, which rounds as the bundle's precision does.

    The head's inputs stay as they are in int8, since a few of its rows are multiplied in float; a classifier's head is
    float32 throughout."""

    def __init__(self, source: Source, precision: str = "fp32") -> None:
        self.config = decoder_config(source.config)
        self.disturbance = DISTURBANCE.get(precision, 0.0)
        self._source, self._precision = source, precision
        self._names: Names = family_of(source.config).names
        self._table = parts(self.config)
        self._model = empty_model(source)
        scale = self.config.embedding_scale if family_of(source.config).scaled_embedding else 1.0
        self._replace(self._names.embedding, Rows(source, f"{self._names.embedding}.weight", precision, scale))
        if self._names.positions:
            self._replace(self._names.positions, Rows(source, f"{self._names.positions}.weight", "fp32"))
        self._lengths: list[int] = []  # of the batch's rows
        self._undisturbed = 0  # how many of these are not disturbed
        self._disturbing = False
        self._noise = torch.Generator()
        for i in range(self.config.layers):
            name = f"{self._names.layers}.{i}"
            layer = self._model.get_submodule(name)
            self._stream(layer, name)
            layer.forward = partial(self._row_by_row, layer.forward)
            narrow_inputs(layer, precision)
            for linear in linears(layer):
                linear.register_forward_hook(self._finish)
        self._stream(self._model.get_submodule(self._names.norm), self._names.norm)

    def logits(self, batch: list[list[int]], disturbed: int = 0) -> torch.Tensor:
        """The logits after each prompt, or a classifier's: float32 ``[n, columns]``. `disturbed` runs more follow, in
        which products are a little off, as far as another order of sums may put them: ``[(1 + disturbed) * n, …]``."""
        runs = 1 + (disturbed if self.disturbance else 0)
        # The reference takes one set of rotary frequencies for all it is given, by the longest.
        sets = [len(ids) > self.config.rope_switch > 0 for ids in batch]
        states = torch.zeros(runs, len(batch), self.config.hidden)
        self._noise.manual_seed(0)
        with torch.inference_mode():
            for one in set(sets):
                of_set = [i for i, its in enumerate(sets) if its == one]
                states[:, of_set] = self._states([batch[i] for i in of_set], runs)
            return self._head(states.flatten(0, 1))

    def _states(self, batch: list[list[int]], runs: int) -> torch.Tensor:
        """The last token's state, ``[runs, n, H]``; the first run is not disturbed."""
        rows = batch * runs
        padded = nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in rows], batch_first=True)
        self._lengths, self._undisturbed = [len(ids) for ids in rows], len(batch)
        states = self._model.base_model(padded, use_cache=False).last_hidden_state
        last = [row[length - 1] for row, length in zip(states, self._lengths, strict=True)]
        return torch.stack(last).unflatten(0, (runs, len(batch)))

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        if self.config.labels:
            return states @ checkpoint_rows(self._source, "score.weight").T
        logits = self._products(states) * self.config.logit_scale
        cap = self.config.logit_softcap
        return torch.tanh(logits / cap) * cap if cap else logits

    def _products(self, states: torch.Tensor) -> torch.Tensor:
        """The states with every row of the vocabulary."""
        name = "embedding.weight" if self.config.tied else "unembedding.weight"
        ((piece, (count, width)),) = self._table[name].pieces.items()
        step = max(16, CHUNK_BYTES // (4 * width))
        columns = []
        for first in range(0, count, step):
            rows = checkpoint_rows(self._source, piece, first, min(first + step, count))
            columns.append(states @ rounded(rows, self._precision).T)
        return torch.cat(columns, 1)

    def _finish(self, module: nn.Linear, inputs: Any, out: torch.Tensor) -> torch.Tensor:
        """A product as it comes out: rounded, in the narrow floating-point precisions, and perhaps disturbed."""
        out = rounded_product(module, out, self._precision)
        if not self._disturbing:
            return out
        return out * (1 + self.disturbance * torch.randn(out.shape, generator=self._noise))

    def _row_by_row(
        self, forward: Callable[..., Any], states: torch.Tensor, *others: Any, **named: Any
    ) -> torch.Tensor:
        """A layer on each row alone and as long as it is: less memory, and no work for padding."""
        whole = torch.zeros_like(states)
        for row, length in enumerate(self._lengths):
            self._disturbing = row >= self._undisturbed
            mask, positions = named.get("attention_mask"), named.get("position_embeddings")
            mine = dict(named)
            if mask is not None:
                mine["attention_mask"] = mask[row if mask.shape[0] > 1 else 0, :, :length, :length].unsqueeze(0)
            if positions is not None:
                mine["position_embeddings"] = tuple(table[:, :length] for table in positions)
            if named.get("position_ids") is not None:
                mine["position_ids"] = named["position_ids"][:, :length]
            whole[row, :length] = forward(states[row : row + 1, :length], *others, **mine)[0]
        return whole

    def _replace(self, name: str, module: nn.Module) -> None:
        owner, _, last = name.rpartition(".")
        setattr(self._model.get_submodule(owner), last, module)

    def _stream(self, module: nn.Module, name: str) -> None:
        """The module's weights come when it is called, and go when it is done."""

        def come(module: nn.Module, inputs: Any) -> None:
            matrices = {linear.weight for linear in linears(module)}
            state = {}
            for key, parameter in module.named_parameters():
                state[key] = checkpoint_rows(self._source, f"{name}.{key}")
                if parameter in matrices:
                    state[key] = rounded(state[key], self._precision)
            module.load_state_dict(state, assign=True)

        def go(module: nn.Module, inputs: Any, out: Any) -> None:
            module.to_empty(device="meta")
            trim()

        module.register_forward_pre_hook(come)
        module.register_forward_hook(go)
