"""A Hugging Face folder: config.json, safetensors (one file or shards), and a tokenizer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from .errors import ToolkitError
from .folder_tokenizer import read_json, tokenizer_file
from .sources import Special
from .text import Text


class FolderSource:
    """See `sources.Source`."""

    def __init__(self, folder: Path, *, name: str = "", origin: str = "", base: str | None = None) -> None:
        self.folder = folder
        self.name = name or folder.resolve().name
        self.origin = origin or self.name
        if not (folder / "config.json").is_file():
            raise ToolkitError(f"{folder} has no config.json; give a checkpoint's folder")
        self.config = read_json(folder / "config.json")
        card = model_card(folder)
        self.license = card.get("license")
        self.base = base or card.get("base_model")
        self._files = weight_files(folder)
        settings = self._optional("tokenizer_config.json")
        self.tokenizer = tokenizer_file(folder)
        self.special = self._special(settings)
        self.chat_template = self._template(settings)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for file in set(self._files.values()):
            opened = open_weights(self.folder / file)
            shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return {name: shapes[name] for name in self._files}

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        # Opened for each read: what an open file has mapped stays in memory until it is closed.
        opened = open_weights(self.folder / self._files[name])
        return opened.get_tensor(name) if first is None else opened.get_slice(name)[first:last]

    def _optional(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return read_json(path) if path.is_file() else {}

    def _special(self, settings: dict[str, Any]) -> Special:
        named = self._optional("special_tokens_map.json") | {k: v for k, v in settings.items() if v is not None}
        written = {
            key: value["content"] if isinstance(value, dict) else value
            for key, value in named.items()
            if key.endswith("_token") and isinstance(value, (str, dict))
        }
        eos: list[str | int] = []
        for config in (self._optional("generation_config.json"), self.config):
            ids = config.get("eos_token_id")
            eos += ids if isinstance(ids, list) else [] if ids is None else [ids]
        if "eos_token" in written:
            eos.append(written["eos_token"])
        bos = written.get("bos_token")
        adds = settings.get("add_bos_token")
        if adds is None:
            adds = Text(self.tokenizer).adds_bos(bos)
        return Special(bos, bool(adds) and bos is not None, tuple(eos), written)

    def _template(self, settings: dict[str, Any]) -> str | None:
        file = self.folder / "chat_template.jinja"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        template = settings.get("chat_template") or self._optional("chat_template.json").get("chat_template")
        if isinstance(template, list):
            template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
        return template


def open_weights(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise ToolkitError(f"cannot read {path}: {error}; the download may be incomplete") from error


def weight_files(folder: Path) -> dict[str, str]:
    """Which file of the folder holds each tensor."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = read_json(index).get("weight_map", {})
        for file in set(files.values()):
            if Path(file).name != file or not (folder / file).is_file():
                raise ToolkitError(f"{index.name} names {file}, which is not in {folder}")
        return files
    file = folder / "model.safetensors"
    if not file.is_file():
        remedy = "convert its .bin files with save_pretrained" if list(folder.glob("*.bin")) else "fetch it"
        raise ToolkitError(f"{folder} has no model.safetensors and no model.safetensors.index.json; {remedy}")
    return dict.fromkeys(open_weights(file).keys(), file.name)


def model_card(folder: Path) -> dict[str, str]:
    """Licence and base model, where the folder's README states them in its front matter."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if not front:
        return {}
    pairs = re.findall(r"^(license|base_model):[ \t]*(?:\n\s*- )?([\w./-]+)\s*$", front[1], re.MULTILINE)
    return dict(pairs)
