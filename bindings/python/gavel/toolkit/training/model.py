"""The model in training: transformers' own on a base's weights, with LoRA or whole, and what reads its verdict."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from peft.helpers import disable_input_dtype_casting
from safetensors.torch import save_file
from torch import nn

from gavel.toolkit.architecture import decoder_config, family_of
from gavel.toolkit.encoder_architecture import is_encoder
from gavel.toolkit.errors import ToolkitError, UnsupportedError
from gavel.toolkit.lora import PREFIX, WEIGHTS
from gavel.toolkit.reference import reference_model
from gavel.toolkit.sources import Source
from gavel.toolkit.training.options import TrainOptions
from gavel.toolkit.training.packing import Pack

HEAD = f"{PREFIX}score.weight"  # a classifier's, in an adapter's file


@dataclass(frozen=True)
class Verdicts:
    """How a verdict is read: two words of the vocabulary, or labels of which one means correct."""

    correct: int
    wrong: int
    labels: tuple[str, ...] = ()  # none where words are read


class JudgeModel(nn.Module):
    """A decoder that reads packed tasks. States are float32 behind the last norm."""

    def __init__(self, source: Source, verdicts: Verdicts, options: TrainOptions) -> None:
        super().__init__()
        if is_encoder(source.config):
            raise UnsupportedError(f"{source.origin} is an encoder; training is for decoders")
        self.verdicts, self.device = verdicts, options.device
        self.config = decoder_config(source.config)
        self.computes = computing_precision(options)
        # All weights are trained in float32, since an update is smaller than what bf16 can add.
        self.causal = loaded(source, torch.float32 if options.full else self.computes)
        self.lora = None if options.full else self._with_lora(source, options)
        self.score: nn.Linear | None = None
        if verdicts.labels:
            self.score = nn.Linear(self.config.hidden, len(verdicts.labels), bias=False)
            nn.init.zeros_(self.score.weight)
        self.to(options.device)

    def _with_lora(self, source: Source, options: TrainOptions) -> Any:
        if options.first_layer >= self.config.layers:
            raise ToolkitError(
                f"first_layer is {options.first_layer}; {source.name} has layers 0 to {self.config.layers - 1}"
            )
        names = family_of(source.config).names
        gate = names.gate_up if self.config.gated else names.gate_up[-1:]
        targets = [name.rpartition(".")[2] for name in (*names.qkv, names.out, *gate, names.down)]
        layers = list(range(options.first_layer, self.config.layers)) if options.first_layer else None
        settings = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            target_modules=sorted(set(targets)),
            layers_to_transform=layers,
            layers_pattern=names.layers.rpartition(".")[2] if layers else None,
            task_type="SEQ_CLS" if self.verdicts.labels else "CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going away
            return get_peft_model(self.causal, settings)

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: each for name, each in self.named_parameters() if each.requires_grad}

    def states(self, pack: Pack) -> torch.Tensor:
        """``[T, H]``."""
        narrow = self.computes != torch.float32
        with (
            torch.autocast(self.device.partition(":")[0], self.computes) if narrow else nullcontext(),
            disable_input_dtype_casting(self.lora) if narrow and self.lora is not None else nullcontext(),
        ):
            out = self.causal.base_model(
                pack.ids[None], attention_mask=self._masks(pack), position_ids=pack.positions[None], use_cache=False
            )
        return out.last_hidden_state[0].float()

    def _masks(self, pack: Pack) -> Any:
        windows = set(self.config.windows)
        made = {window: pack.mask(self.computes, window) for window in windows}
        if len(windows) == 1:
            return made.popitem()[1]
        return {"full_attention" if window == 0 else "sliding_attention": mask for window, mask in made.items()}

    def logits(self, states: torch.Tensor, rows: list[int] | None = None) -> torch.Tensor:
        """The labels', or those of the asked words or of the whole vocabulary: ``[n, columns]``."""
        if self.score is not None and rows is None:
            return self.score(states)
        return self.vocabulary(states, rows)

    def vocabulary(self, states: torch.Tensor, rows: list[int] | None = None) -> torch.Tensor:
        weight = self.causal.get_output_embeddings().weight
        weight = weight if rows is None else weight[rows]
        logits = (states.to(weight.dtype) @ weight.T).float() * self.config.logit_scale
        cap = self.config.logit_softcap
        return torch.tanh(logits / cap) * cap if cap else logits

    def log_odds(self, states: torch.Tensor) -> torch.Tensor:
        """Of correct, as the library computes them from the states behind the prompts: ``[n]``."""
        if self.score is None:
            yes_no = self.vocabulary(states, [self.verdicts.correct, self.verdicts.wrong])
            return yes_no[:, 0] - yes_no[:, 1]
        logits, at = self.score(states), self.verdicts.correct
        return logits[:, at] - torch.cat([logits[:, :at], logits[:, at + 1 :]], 1).logsumexp(1)

    def load_adapter(self, folder: Path) -> None:
        """The weights that `save_adapter` left; ToolkitError where they are not those of this model and its options."""
        assert self.lora is not None
        state = load_peft_weights(str(folder), device="cpu")
        head = state.pop(HEAD, None)
        own = get_peft_model_state_dict(self.lora, save_embedding_layers=False)
        same = {name: each.shape for name, each in state.items()} == {name: each.shape for name, each in own.items()}
        scale = LoraConfig.from_pretrained(str(folder)).lora_alpha == self.lora.peft_config["default"].lora_alpha
        if not (same and scale and (head is None) == (self.score is None)):
            raise ToolkitError(
                f"{folder} is not an adapter of this base with these options: give the base, kind of objective, rank, "
                "alpha and first layer that it was trained with"
            )
        set_peft_model_state_dict(self.lora, state)
        if self.score is not None and head is not None:
            self.score.weight.data.copy_(head)

    def save_adapter(self, folder: Path, base: str) -> None:
        """As peft does, with the head where there is one, and in the precision that was computed in."""
        assert self.lora is not None
        state = get_peft_model_state_dict(self.lora, save_embedding_layers=False)
        settings = self.lora.peft_config["default"]
        settings.base_model_name_or_path, settings.inference_mode = base, True
        if self.score is not None:
            state[HEAD] = self.score.weight
            settings.modules_to_save = ["score"]
        save_file(
            {name: each.detach().to("cpu", self.computes).contiguous() for name, each in state.items()},
            folder / WEIGHTS,
        )
        settings.save_pretrained(folder)


def computing_precision(options: TrainOptions) -> torch.dtype:
    if options.precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[options.precision]
    if options.device.startswith("cuda"):
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


def loaded(source: Source, dtype: torch.dtype) -> Any:
    """transformers' language model on the source's weights, ready to be trained."""
    model = reference_model(source, dtype)
    capped = getattr(model.config, "attn_logit_softcapping", None)
    model.set_attn_implementation("eager" if capped else "sdpa")
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:  # a causal mask of GPTBigCode's, which nobody reads
                setattr(module, name, None)
    return model.train()
