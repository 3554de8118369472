"""The reference tokenizers (the tokenizers and sentencepiece libraries), as export needs them."""

from __future__ import annotations

import json
from typing import Any

from .errors import ToolkitError, UnsupportedError
from .sources import TokenizerFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece's piece types, GGUF's too


class Text:
    """Text to ids as the bundle's tokenizer must do it: no text becomes a special token, nothing is added."""

    def __init__(self, file: TokenizerFile) -> None:
        self.file = file
        self.type = "sentencepiece" if file.name.endswith(".model") else "bpe"
        try:
            self._open()
        except UnsupportedError:
            raise
        except Exception as error:
            raise ToolkitError(f"{file.name} cannot be read: {error}") from error

    def _open(self) -> None:
        if self.type == "sentencepiece":
            from sentencepiece import SentencePieceProcessor

            pieces = SentencePieceProcessor(model_proto=self.file.data)
            self.size = pieces.vocab_size()
            types = {piece.piece: (i, piece.type) for i, piece in enumerate(proto(self.file.data).pieces)}
            self.added = {text: i for text, (i, kind) in types.items() if kind in (CONTROL, USER_DEFINED)}
            self.special = {text: i for text, i in self.added.items() if pieces.is_control(i)}
            self._encode = pieces.encode
            self._find = lambda text: pieces.piece_to_id(text) if pieces.piece_to_id(text) != pieces.unk_id() else None
            return
        from tokenizers import Tokenizer

        description = json.loads(self.file.data)
        if description.get("model", {}).get("type", "BPE") != "BPE":
            raise UnsupportedError(f"tokenizer model {description['model']['type']} is not supported; BPE is")
        fast = Tokenizer.from_str(self.file.data.decode("utf-8"))
        fast.no_padding()
        fast.no_truncation()
        fast.encode_special_tokens = True
        self.size = fast.get_vocab_size(with_added_tokens=True)
        tokens = fast.get_added_tokens_decoder()
        self.added = {token.content: i for i, token in tokens.items()}
        self.special = {token.content: i for i, token in tokens.items() if token.special}
        self._encode = lambda text: fast.encode(text, add_special_tokens=False).ids
        self._find = fast.token_to_id
        self._with_added = lambda text: fast.encode(text, add_special_tokens=True).ids

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text)) if text else []

    def id(self, written: str) -> int | None:
        return self._find(written)

    def adds_bos(self, bos: str | None) -> bool:
        """Whether the tokenizer file itself puts BOS before a text. SentencePiece models do by custom."""
        if self.type == "sentencepiece":
            return True
        ids = self._with_added("a")
        return bos is not None and ids[:1] == [self.id(bos)]


def is_byte_level(description: dict[str, Any]) -> bool:
    """Whether a tokenizer.json works on bytes written as letters (GPT-2's way)."""
    return '"ByteLevel"' in json.dumps([description.get("pre_tokenizer"), description.get("decoder")])


def proto(data: bytes) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(data)
    return model


def add_pieces(data: bytes, added: dict[str, tuple[int, bool]]) -> bytes:
    """A SentencePiece model with a checkpoint's further tokens behind its own pieces."""
    model = proto(data)
    for text, (index, special) in sorted(added.items(), key=lambda entry: entry[1][0]):
        if index < len(model.pieces):
            continue
        if index > len(model.pieces):
            raise ToolkitError(f"added token {text!r} has id {index}, but the model ends at {len(model.pieces)}")
        model.pieces.add(piece=text, score=0.0, type=CONTROL if special else USER_DEFINED)
    return model.SerializeToString()
