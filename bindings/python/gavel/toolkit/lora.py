"""A LoRA adapter (Hu et al., arXiv 2106.09685; saved by peft): its settings and tensors, refused by name where they are
anything else; and merged into a checkpoint's tensors as they are read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import get_pattern_key

from .architecture import model_class
from .errors import ToolkitError, UnsupportedError
from .folder import open_weights, read_json
from .judging import JUDGE_FILE
from .sources import Source

WEIGHTS = "adapter_model.safetensors"  # as peft names the file
PREFIX = "base_model.model."
HEADS = {"score", "classifier"}  # what peft names when it trains a classifier's head whole
PLAIN_INITS = (True, False, None, "gaussian", "orthogonal")  # others move the base weights as well


class AdapterSource:
    """A `sources.Source` with an adapter on it: ``tensor`` merges the two."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._base_shapes = source.shapes()
        self.settings = read_json(folder / "adapter_config.json")
        check(self.settings, folder)
        if not (folder / WEIGHTS).is_file():
            raise ToolkitError(f"{folder} has no {WEIGHTS}; save the adapter with safe_serialization")
        self._weights = open_weights(folder / WEIGHTS)
        judged = folder / JUDGE_FILE
        self._labels = read_json(judged).get("labels") if judged.is_file() else None
        self._pairs: dict[str, str] = {}
        self._score: str | None = None
        for key in sorted(self._weights.keys()):
            self._place(key.removeprefix(PREFIX), key, folder)
        self.name = f"{source.name}-{folder.resolve().name}"
        self.origin = f"{source.origin} with adapter {folder.resolve().name}"
        self.license, self.base = source.license, source.base or source.origin
        self.tokenizer, self.special, self.chat_template = source.tokenizer, source.special, source.chat_template
        self.config = self._config(source.config)

    @property
    def targets(self) -> list[str]:
        """The weights that the adapter changes."""
        return list(self._pairs)

    @property
    def brings_head(self) -> bool:
        return self._score is not None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = dict(self._base_shapes)
        for target in self._pairs:
            if target not in shapes:
                raise ToolkitError(f"the adapter changes {target}, which {self._source.origin} does not have")
        if self._score:
            shapes["score.weight"] = tuple(self._weights.get_slice(self._score).get_shape())
        return shapes

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        weight = self.unmerged(name, first, last)
        pair = self.low_rank(name)
        return weight if pair is None else weight.to(torch.float32) + pair[1][first:last] @ pair[0]

    def unmerged(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        """The base's tensor, or the adapter's whole where it brings one."""
        if name == "score.weight" and self._score:
            return self._weights.get_tensor(self._score)[first:last]
        return self._source.tensor(name, first, last)

    def low_rank(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A ``[r, inputs]`` and B ``[outputs, r]``, the scaling in B, of a weight that the adapter changes; float32."""
        if name not in self._pairs:
            return None
        key = self._pairs[name]
        a = self._weights.get_tensor(key).to(torch.float32)
        b = self._weights.get_tensor(key.replace("lora_A", "lora_B")).to(torch.float32)
        shape = self._base_shapes[name]
        if a.shape[0] != b.shape[1] or (b.shape[0], a.shape[1]) != shape:
            raise ToolkitError(f"the adapter's {name} is {list(b.shape)} x {list(a.shape)}, the model's {list(shape)}")
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise ToolkitError(f"the adapter's {name} holds NaN or infinite values; it is damaged")
        return a, b * self._scale(name.removesuffix(".weight"), a.shape[0])

    def _place(self, name: str, key: str, folder: Path) -> None:
        if name in ("score.weight", "score.modules_to_save.weight"):
            self._score = key
        elif name.endswith(".lora_A.weight"):
            self._pairs[name.replace(".lora_A.weight", ".weight")] = key
        elif not name.endswith(".lora_B.weight"):
            remedy = "; save it with save_embedding_layers=False" if name.endswith(".base_layer.weight") else ""
            raise UnsupportedError(
                f"{folder} holds {name}; only LoRA on linear layers and a score head are supported{remedy}"
            )

    def _scale(self, module: str, rank: int) -> float:
        ranks, alphas = self.settings.get("rank_pattern") or {}, self.settings.get("alpha_pattern") or {}
        stated = ranks.get(get_pattern_key(ranks, module), self.settings["r"])
        if stated != rank:
            raise ToolkitError(f"the adapter's {module} has rank {rank}, its config says {stated}")
        alpha = alphas.get(get_pattern_key(alphas, module), self.settings["lora_alpha"])
        return alpha / math.sqrt(rank) if self.settings.get("use_rslora") else alpha / rank

    def _config(self, config: dict[str, Any]) -> dict[str, Any]:
        if config.get("tie_word_embeddings") and "lm_head.weight" in self._pairs:
            raise UnsupportedError("an adapter on lm_head of a model whose head is tied to its embedding")
        if not self._score:
            return config
        labels = self._weights.get_slice(self._score).get_shape()[0]
        family = model_class(config).partition("For")[0]
        names = config.get("id2label") or {}
        if len(names) != labels:
            names = dict(enumerate(self._labels or [f"LABEL_{i}" for i in range(labels)]))
            names = {str(i): label for i, label in names.items()}
        head = {"id2label": names, "label2id": {label: int(i) for i, label in names.items()}}
        return config | head | {"architectures": [f"{family}ForSequenceClassification"]}


def check(settings: dict[str, Any], folder: Path) -> None:
    """Refuses, by name, what is not plain LoRA."""
    kind, init, saved = settings.get("peft_type"), settings.get("init_lora_weights"), settings.get("modules_to_save")
    refused = [
        (kind != "LORA", f"adapter type {kind}"),
        (settings.get("use_dora"), "DoRA (use_dora)"),
        (settings.get("bias", "none") != "none", f"trained biases (bias={settings.get('bias')!r})"),
        (settings.get("lora_bias"), "lora_bias"),
        (settings.get("fan_in_fan_out"), "fan_in_fan_out"),
        (settings.get("trainable_token_indices"), "trained token embeddings (trainable_token_indices)"),
        (settings.get("layer_replication"), "layer_replication"),
        (init not in PLAIN_INITS, f"init_lora_weights={init!r}"),
        (set(saved or []) - HEADS, f"modules_to_save={saved}"),
    ]
    for wrong, what in refused:
        if wrong:
            raise UnsupportedError(
                f"{folder}: {what} is not supported; plain LoRA (also rank-stabilised) is. "
                "Merge it with peft's merge_and_unload and export the merged folder"
            )
