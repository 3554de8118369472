"""What transformers says of a few texts: an encoder's bundle that answers otherwise is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .encoder_architecture import MODELS, encoder_config, model_class, reference_config
from .encoder_program import EncoderConfig
from .program import PRECISIONS
from .prompts import Segments, encode
from .quantize import dequantize, quantize, round_rows
from .selftest import (
    DISTURBANCE,
    DISTURBED_RUNS,
    JUDGED,
    LOGIT_TOLERANCE,
    MARGIN,
    PROBABILITY_TOLERANCE,
    PROMPTS,
    SPOKEN,
    TOP,
    judge_logit,
    probability,
)
from .sources import Source
from .tensors import checkpoint_tensor
from .text import Text

Logits = Callable[[list[int]], Tensor]


def alias(name: str, there: dict[str, tuple[int, ...]]) -> str:
    """The checkpoint's name of a tensor of the model's: what is tied is kept once."""
    if name in there or not name.endswith(("embed_tokens.weight", "lm_head.weight")):
        return name
    return ("transformer." if name.startswith("transformer.") else "") + "shared.weight"


def reference_model(source: Source) -> PreTrainedModel:
    """transformers' own model on the checkpoint's tensors, in fp32."""
    with torch.device("meta"):
        model = MODELS[model_class(source.config)](reference_config(source.config))
    there = source.shapes()
    state = {name: checkpoint_tensor(source, alias(name, there)) for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
    if model_class(source.config).startswith("Roberta"):
        embeddings, most = model.roberta.embeddings, model.config.max_position_embeddings
        embeddings.position_ids = torch.arange(most)[None]
        embeddings.token_type_ids = torch.zeros(1, most, dtype=torch.int64)
    return model.eval()


def class_head(source: Source, config: EncoderConfig) -> nn.Sequential:
    """RankEF's head."""
    head = nn.Sequential(
        nn.Linear(config.hidden, config.head_size), nn.ReLU(), nn.Linear(config.head_size, config.labels)
    )
    head.load_state_dict({key: checkpoint_tensor(source, f"class_head.{key}") for key in head.state_dict()})
    return head.eval()


class EncoderReference:
    """Labels' logits of token ids, and a decoder's first, by transformers, rounded as the bundle's precision is."""

    def __init__(self, source: Source, precision: str = "fp32") -> None:
        self.config = encoder_config(source)
        self.model = reference_model(source)
        self.writes = self.config.decoder_layers > 0 and self.config.head == "first"
        self.head = class_head(source, self.config) if self.config.head_activation == "relu" else None
        self.disturbance = DISTURBANCE.get(precision, 0.0)
        self._linears = [
            m for name, m in self.model.named_modules() if isinstance(m, nn.Linear) and "classif" not in name
        ]
        self._round(precision)

    def _round(self, precision: str) -> None:
        """Matrices, and what goes into their products; a classification head is float32 throughout."""
        if precision == "fp32":
            return
        dtype = PRECISIONS[precision]

        def rounded(weight: Tensor) -> Tensor:
            if precision == "int8":
                return dequantize(*quantize(weight), weight.shape[1])
            return weight.to(dtype).to(torch.float32)

        def narrow(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (round_rows(inputs[0]) if precision == "int8" else inputs[0].to(dtype).to(torch.float32),)

        wide = self.model.modules() if precision == "fp16" and self.config.family == "t5" else ()
        kept = {id(m.wo) for m in wide if hasattr(m, "wo")}
        for module in self._linears:
            if id(module) not in kept:
                module.weight.data = rounded(module.weight.data)
                module.register_forward_pre_hook(narrow)
        for name, module in self.model.named_modules():
            if isinstance(module, nn.Embedding) and name.endswith(("shared", "embed_tokens", "word_embeddings")):
                module.weight.data = rounded(module.weight.data)

    @torch.inference_mode()
    def logits(self, ids: list[int]) -> Tensor:
        tokens = torch.tensor([ids])
        if self.head is not None:
            return self.head(self.model.get_encoder()(tokens).last_hidden_state[0, 0])
        if self.config.family == "roberta":
            return self.model(tokens).logits[0]
        shifted = torch.tensor([[self.config.start, *ids[:-1]]])
        states = self.model.transformer(tokens, decoder_input_ids=shifted, use_cache=False).last_hidden_state
        return self.model.classification_head(states[0, -1])

    @torch.inference_mode()
    def first_written(self, ids: list[int]) -> Tensor:
        """The decoder's logits of the first token it writes."""
        start = torch.tensor([[self.config.start]])
        return self.model(torch.tensor([ids]), decoder_input_ids=start, use_cache=False).logits[0, 0]

    def disturbed(self, run: Logits, ids: list[int]) -> list[Tensor]:
        """The same from runs whose products are a little off; none where no rounding can tip over."""
        if not self.disturbance:
            return []
        random = torch.Generator().manual_seed(0)

        def disturb(module: nn.Module, inputs: object, out: Tensor) -> Tensor:
            return out * (1 + self.disturbance * torch.randn(out.shape, generator=random))

        hooks = [module.register_forward_hook(disturb) for module in self._linears]
        runs = [run(ids) for _ in range(DISTURBED_RUNS)]
        for hook in hooks:
            hook.remove()
        return runs


def expected(reference: EncoderReference, run: Logits, ids: list[int], least: float) -> tuple[dict[str, Any], float]:
    """The largest logits and where they stand, and how far a bundle may be from them."""
    all_of_them = run(ids)
    top = all_of_them.topk(min(TOP, all_of_them.numel()))
    off = [float((other[top.indices] - top.values).abs().max()) for other in reference.disturbed(run, ids)]
    tolerance = max([least, *(MARGIN * value for value in off)])
    return {"ids": top.indices.tolist(), "values": top.values.tolist()}, tolerance


def self_test(
    reference: EncoderReference,
    tokens: Text,
    prompts: dict[str, Segments],
    head: dict[str, Any],
    judge: dict[str, Any],
    precision: str,
) -> list[dict[str, Any]]:
    """The manifest's self-test. `ids` are those of `prompt` as plain text, without special tokens; `logits` are the
    labels', `written` the vocabulary's for the first token a decoder writes."""
    least = LOGIT_TOLERANCE[precision]
    cases: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        ids = tokens.encode(prompt)
        if len(ids) > reference.config.context:
            continue
        logits, tolerance = expected(reference, reference.logits, ids, least)
        case = {"prompt": prompt, "ids": ids, "logits": logits, "tolerance": tolerance, "judge": None}
        if reference.writes:
            case["written"], tolerance = expected(reference, reference.first_written, ids, least)
            case["tolerance"] = max(case["tolerance"], tolerance)
        cases.append(case)
    ids = encode(prompts["judge"], SPOKEN, tokens)
    p = probability(judge_logit(reference.logits(ids), judge, head), judge)
    off = [
        abs(probability(judge_logit(run, judge, head), judge) - p) for run in reference.disturbed(reference.logits, ids)
    ]
    tolerance = max([PROBABILITY_TOLERANCE[precision], *(MARGIN * value for value in off)])
    cases[0]["judge"] = JUDGED | {"p_correct": p, "tolerance": tolerance}
    return cases
