"""transformers' own encoder on a checkpoint's tensors, whole in memory: what an encoder's bundle is compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .encoder_architecture import MODELS, encoder_config, model_class, reference_config
from .encoder_layers import EncoderConfig
from .reference import DISTURBANCE, narrow_inputs, rounded, rounded_product
from .selftest import DISTURBED_RUNS
from .sources import Source
from .tensors import checkpoint_rows

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
    names = {name: alias(name, there) for name in model.state_dict()}
    tensors = {name: checkpoint_rows(source, name) for name in set(names.values())}
    model.load_state_dict({name: tensors[kept] for name, kept in names.items()}, assign=True)
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
    head.load_state_dict({key: checkpoint_rows(source, f"class_head.{key}") for key in head.state_dict()})
    return head.eval()


class EncoderReference:
    """Labels' logits of token ids, and a decoder's first, by transformers, rounded as the bundle's precision is."""

    def __init__(self, source: Source, precision: str = "fp32") -> None:
        self.config = encoder_config(source)
        self.model = reference_model(source)
        self.head = class_head(source, self.config) if self.config.head_activation == "relu" else None
        self.disturbance = DISTURBANCE.get(precision, 0.0)
        self._precision = precision
        named = self.model.named_modules()
        self._linears = [m for name, m in named if isinstance(m, nn.Linear) and "classif" not in name]
        # See the program's FeedForward.
        wide = precision == "fp16" and self.config.family == "t5"
        kept = {id(m.wo) for m in self.model.modules() if wide and hasattr(m, "wo")}
        for linear in self._linears:
            if id(linear) not in kept:
                linear.weight.data = rounded(linear.weight.data, precision)
                narrow_inputs(linear, precision)
                linear.register_forward_hook(self._narrow_output)
        for name, embedding in self.model.named_modules():
            if isinstance(embedding, nn.Embedding) and name.endswith(("shared", "embed_tokens", "word_embeddings")):
                embedding.weight.data = rounded(embedding.weight.data, precision)

    def _narrow_output(self, module: nn.Linear, inputs: object, out: Tensor) -> Tensor:
        return rounded_product(module, out, self._precision)

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
