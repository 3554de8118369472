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
from .quantize import ROWS, dequantize
from .sources import Source, Special, TokenizerFile
from .tensors import Parts, checkpoint_shapes, parts


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
        return checkpoint_shapes(self._table)

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        stored, index, begin, rows = self._places[name]
        part = self._table[stored]
        if part.stacked:
            return self._weights.get_slice(stored)[index][first:last] - part.offset
        first, last, _ = slice(first, last).indices(rows)
        kept = self._rows(stored, begin + first, begin + last, part.pieces[name])
        return kept - part.offset if part.offset else kept

    def _rows(self, stored: str, first: int, last: int, shape: tuple[int, ...]) -> torch.Tensor:
        if f"{stored.removesuffix('weight')}scale" not in self._weights.keys():  # noqa: SIM118, it is no dict
            return self._weights.get_slice(stored)[first:last]
        tile = first // ROWS
        tiles = self._weights.get_slice(stored)[tile : -(-last // ROWS)]
        scale = self._weights.get_slice(f"{stored.removesuffix('weight')}scale")[tile * ROWS : last]
        return dequantize(tiles, scale, shape[1])[first - tile * ROWS :]

    @cached_property
    def _table(self) -> Parts:
        return parts(decoder_config(self.config))

    @cached_property
    def _weights(self) -> Any:
        return open_weights(self.folder / WEIGHTS)

    @cached_property
    def _places(self) -> dict[str, tuple[str, int, int, int]]:
        """For each tensor of the checkpoint: what it is stored in, its number there, its first row, and how many."""
        places = {}
        for stored, part in self._table.items():
            begin = 0
            for index, (name, shape) in enumerate(part.pieces.items()):
                places[name] = (stored, index, begin, shape[0])
                begin += shape[0]
        return places
