"""The language model inside a checkpoint that also sees: its text decoder, as a checkpoint of its own."""

from __future__ import annotations

import re
from typing import Any

import torch

from .errors import ToolkitError
from .sources import Source

# What wraps which family. Gemma 3 from 4B on is published with a vision tower.
WRAPPED = {"gemma3": ("gemma3_text", "Gemma3ForCausalLM")}
# Older and newer spellings of where the text decoder and its head lie.
INSIDE = re.compile(r"^(?:model\.language_model\.|language_model\.model\.)")
HEAD = re.compile(r"^(?:language_model\.)?lm_head\.")
OTHERS = re.compile(r"^(?:model\.)?(?:vision_tower|multi_modal_projector)\.")


class TextPart:
    """A `sources.Source` of the text decoder alone."""

    def __init__(self, source: Source) -> None:
        self._source = source
        family, architecture = WRAPPED[source.config["model_type"]]
        text = source.config.get("text_config")
        if not isinstance(text, dict):
            raise ToolkitError(f"{source.origin}: config.json has no text_config; the checkpoint is of another kind")
        special = {key: value for key, value in source.config.items() if key.endswith("_token_id") and key not in text}
        self.config: dict[str, Any] = text | special | {"model_type": family, "architectures": [architecture]}
        if "tie_word_embeddings" in source.config:
            self.config.setdefault("tie_word_embeddings", source.config["tie_word_embeddings"])
        self.name, self.origin = source.name, source.origin
        self.license, self.base = source.license, source.base
        self.tokenizer, self.special, self.chat_template = source.tokenizer, source.special, source.chat_template
        self._names = {plain(name): name for name in source.shapes() if not OTHERS.match(name)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = self._source.shapes()
        return {ours: shapes[theirs] for ours, theirs in self._names.items()}

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        return self._source.tensor(self._names[name], first, last)


def plain(name: str) -> str:
    """A tensor's name as a text-only checkpoint has it."""
    return HEAD.sub("lm_head.", INSIDE.sub("model.", name))
