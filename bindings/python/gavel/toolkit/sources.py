"""Where a model comes from: a Hugging Face folder, a GGUF file, a Hub id, behind one small interface."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from .errors import ToolkitError

# What models write when they are done, beside the end token they declare.
END_TOKENS = ("<|im_end|>", "<|eot_id|>", "<|EOT|>", "<|endoftext|>", "<|end_of_text|>", "</s>")


@dataclass(frozen=True)
class TokenizerFile:
    """What the bundle carries to turn text into tokens."""

    name: str  # tokenizer.json or tokenizer.model
    data: bytes
    around: tuple[tuple[int, ...], tuple[int, ...]] = (
        (),
        (),
    )  # ids before and after a text; a tokenizer.json says its own


@dataclass(frozen=True)
class Special:
    """A model's special tokens, as written; templates use them by name."""

    bos: str | None = None
    adds_bos: bool = False  # the model's own tokenizer puts BOS before every text
    eos: tuple[str | int, ...] = ()  # written forms or ids
    named: Mapping[str, str] = field(default_factory=dict)  # bos_token, eos_token, … for the chat template


class Source(Protocol):
    """A checkpoint: its config, its tensors one by one under the names transformers gives them, and its text side."""

    name: str  # what a bundle of it is called by default
    origin: str  # for messages and the bundle's provenance
    license: str | None
    base: str | None
    config: dict[str, Any]  # in the words of config.json
    tokenizer: TokenizerFile
    special: Special
    chat_template: str | None

    def shapes(self) -> dict[str, tuple[int, ...]]: ...

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        """A tensor, or its rows [first, last) without reading the others."""
        ...


HUB_ID = re.compile(r"^(?:hub:)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?$")
HUB_FILES = [
    "*.json",
    "*.safetensors",
    "tokenizer.model",
    "spiece.model",
    "merges.txt",
    "*.jinja",
    "README.md",
    "LICENSE*",
]


def open_source(source: str | Path) -> Source:
    """Opens a folder, a ``.gguf`` file, or a Hub id (``org/name``, ``org/name@revision``). Of a model that also sees,
    only its text decoder."""
    from .text_part import WRAPPED, TextPart

    opened = open_any(source)
    return TextPart(opened) if opened.config.get("model_type") in WRAPPED else opened


def open_any(source: str | Path) -> Source:
    from .folder import FolderSource
    from .gguf_file import GgufSource

    path = Path(source).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        if path.suffix != ".gguf":
            raise ToolkitError(f"{path} is neither a folder nor a .gguf file; give a checkpoint's folder")
        return GgufSource(path)
    hub = HUB_ID.match(str(source))
    if hub and not str(source).startswith((".", "/", "~")):
        return from_hub(hub["repo"], hub["revision"])
    raise ToolkitError(f"{source} is not there; give a checkpoint's folder, a .gguf file or a Hub id (org/name)")


def from_hub(repo: str, revision: str | None) -> Source:
    """Fetches a repository's data files (no code) through huggingface_hub and opens them."""
    from huggingface_hub import snapshot_download

    from .folder import FolderSource

    try:
        folder = snapshot_download(repo, revision=revision, allow_patterns=HUB_FILES)
    except Exception as error:
        raise ToolkitError(
            f"cannot fetch {repo} from the Hub: {str(error).splitlines()[0]} "
            "(no such path here either; check the name, the network, or the access rights)"
        ) from error
    at = f"@{revision}" if revision else ""
    return FolderSource(Path(folder), name=repo.split("/")[1].lower(), origin=f"hub:{repo}{at}", base=repo)
