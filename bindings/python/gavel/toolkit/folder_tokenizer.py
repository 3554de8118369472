"""The tokenizer of a Hugging Face folder, as the file a bundle carries.

The reference is the fast tokenizer, which is what transformers trains and runs models with: a tokenizer.json is taken
as it is, and refused where Gavel does not run all of it, whatever else lies beside it. Where a folder has only the
files it is made from, it is made (vocab.json and merges.txt), or the SentencePiece model is taken with what the
folder's settings add to it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import ToolkitError
from .sources import TokenizerFile
from .text import CONTROL, add_pieces, proto


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolkitError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ToolkitError(f"{path} holds no JSON object")
    return value


def tokenizer_file(folder: Path) -> TokenizerFile:
    fast = folder / "tokenizer.json"
    if fast.is_file():
        return TokenizerFile(fast.name, fast.read_bytes())
    for name in ("tokenizer.model", "spiece.model"):
        if (folder / name).is_file():
            return sentencepiece_file(folder / name, folder)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return TokenizerFile(fast.name, converted(folder))
    raise ToolkitError(
        f"{folder} has no tokenizer: neither tokenizer.json, nor tokenizer.model or spiece.model, nor vocab.json with "
        "merges.txt"
    )


def converted(folder: Path) -> bytes:
    """The fast tokenizer that transformers makes of a byte-level vocabulary and its merges."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str().encode()
    except Exception as error:
        raise ToolkitError(f"transformers cannot make a tokenizer.json of {folder}'s vocab.json: {error}") from error


def sentencepiece_file(path: Path, folder: Path) -> TokenizerFile:
    """A SentencePiece model with the folder's habits: its added tokens, whether a text gets a space before it, and the
    special tokens around a text. The space is put before each text between special tokens ("legacy" in transformers).
    """
    settings = optional_json(folder / "tokenizer_config.json")
    try:
        model = proto(path.read_bytes())
    except Exception as error:
        raise ToolkitError(f"{path} is not a SentencePiece model: {error}") from error
    is_t5 = str(settings.get("tokenizer_class", "")).startswith("T5") or read_json(folder / "config.json").get(
        "model_type"
    ) in ("t5", "mt5", "umt5")
    add_pieces(model, added_tokens(folder, settings))
    if is_t5:
        add_extra_ids(model, settings.get("extra_ids", 100))
    if settings.get("add_prefix_space") is False:
        model.normalizer_spec.add_dummy_prefix = False
    ids = {piece.piece: i for i, piece in enumerate(model.pieces) if piece.type == CONTROL}

    def token(key: str, default: str, wanted: bool) -> tuple[int, ...]:
        value = settings.get(key) or default
        written = value["content"] if isinstance(value, dict) else value
        if wanted and written not in ids:
            raise ToolkitError(f"{path.name} has no special token {written!r}, which its settings put around a text")
        return (ids[written],) if wanted else ()

    before = token("bos_token", model.trainer_spec.bos_piece, settings.get("add_bos_token", not is_t5))
    after = token("eos_token", model.trainer_spec.eos_piece, settings.get("add_eos_token", is_t5))
    return TokenizerFile("tokenizer.model", model.SerializeToString(), (before, after))


def added_tokens(folder: Path, settings: dict[str, Any]) -> list[tuple[int, str, bool]]:
    """Id, text, and whether it is special, of the tokens a folder adds to its vocabulary."""
    decoder = settings.get("added_tokens_decoder")
    if decoder is not None:
        return [(int(i), token["content"], token.get("special", False)) for i, token in decoder.items()]
    named = optional_json(folder / "special_tokens_map.json") | settings
    texts = [value for key, value in named.items() if key.endswith("_token") and value]
    texts += named.get("additional_special_tokens") or []
    special = {text["content"] if isinstance(text, dict) else text for text in texts}
    added = optional_json(folder / "added_tokens.json")
    return [(i, text, text in special) for text, i in added.items()]


def add_extra_ids(model: Any, count: int) -> None:
    """T5's sentinels: the last has the first id behind the vocabulary, the first the last one."""
    there = {piece.piece for piece in model.pieces}
    for i in reversed(range(count)):
        if f"<extra_id_{i}>" not in there:
            model.pieces.add(piece=f"<extra_id_{i}>", score=0.0, type=CONTROL)


def optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
