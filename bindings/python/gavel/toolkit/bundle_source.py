"""A bundle read back as the checkpoint it was made of, rounded as it is stored: what adapters are made for."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .architecture import decoder_config
from .bundle import WEIGHTS, read_manifest
from .errors import ToolkitError
from .folder import open_weights
from .quantize import dequantize
from .sources import Source, Special, TokenizerFile
from .tensors import checkpoint_shapes, parts


def checkpoint_of(source: Source) -> dict[str, Any]:
    """What a manifest keeps of its checkpoint, so that the bundle can be read back as one."""
    return {
        "config": source.config,
        "special": asdict(source.special),
        "chat_template": source.chat_template,
    }


class BundleSource:
    """See `sources.Source`."""

    def __init__(self, bundle: str | Path) -> None:
        self.folder = Path(bundle)
        self.manifest = read_manifest(self.folder)
        kept = self.manifest.get("checkpoint")
        if kept is None:
            raise ToolkitError(f"{self.folder} was exported by an earlier version of gavel; export it again")
        self.name = self.origin = self.manifest["name"]
        self.license = self.manifest["provenance"].get("license")
        self.base = self.manifest["provenance"].get("base")
        self.precision: str = self.manifest["precision"]
        self.config: dict[str, Any] = kept["config"]
        file = self.manifest["tokenizer"]["file"]
        self.tokenizer = TokenizerFile(file, (self.folder / file).read_bytes())
        self.special = Special(**kept["special"] | {"eos": tuple(kept["special"]["eos"])})
        self.chat_template: str | None = kept["chat_template"]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return checkpoint_shapes(self._decoder)

    def tensor(self, name: str) -> torch.Tensor:
        stored, first, rows = self._places[name]
        tensor = self._weights.get_tensor(stored)
        if tensor.dtype == torch.int8:
            scale = self._weights.get_tensor(stored.removesuffix("weight") + "scale")
            tensor = dequantize(tensor, scale, self.shapes()[name][1])
        return tensor[first : first + rows]

    @cached_property
    def _decoder(self) -> Any:
        return decoder_config(self.config)

    @cached_property
    def _weights(self) -> Any:
        return open_weights(self.folder / WEIGHTS)

    @cached_property
    def _places(self) -> dict[str, tuple[str, int, int]]:
        """For each tensor of the checkpoint: where it is stored, its first row there, and how many it has."""
        places = {}
        for stored, pieces in parts(self._decoder).items():
            first = 0
            for name, shape in pieces.items():
                places[name] = (stored, first, shape[0])
                first += shape[0]
        return places
