"""Text to token ids and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

from gavel._ffi import c_string, check, ffi, handle, lib, new_array, new_text, take
from gavel._handle import Handle


class Tokenizer(Handle):
    """BPE or Unigram from a tokenizer.json, or a SentencePiece model. Immutable; for any number of threads."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Opens a ``tokenizer.json`` or ``tokenizer.model``, chosen by the file's name."""
        new = ffi.new("gavel_tokenizer **")
        check(lib().gavel_tokenizer_open(new, c_string(path, "path")))
        return cls(handle(new, lib().gavel_tokenizer_destroy))

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Token ids of a text, without BOS or EOS. Text becomes a special token only where ``special`` is true."""
        out, count = ffi.new("int32_t **"), ffi.new("size_t *")
        c_text, _kept = new_text(text)
        check(lib().gavel_tokenizer_encode(out, count, self._handle, c_text, int(special)))
        return ffi.unpack(take(out), count[0]) if count[0] else []

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        """Text of ids. Special tokens are left out unless ``special``."""
        out, size = ffi.new("char **"), ffi.new("size_t *")
        c_ids = new_array("int32_t", ids, "ids")
        check(lib().gavel_tokenizer_decode(out, size, self._handle, c_ids, len(ids), int(special)))
        return bytes(ffi.buffer(take(out), size[0])).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The raw bytes one token stands for, empty for special tokens."""
        out = ffi.new("gavel_text *")
        check(lib().gavel_tokenizer_bytes(out, self._handle, id))
        return bytes(ffi.buffer(out.data, out.size)) if out.size else b""

    def id(self, token: str) -> int | None:
        """The id of a token by its exact written form, or None."""
        out = ffi.new("int32_t *")
        c_text, _kept = new_text(token)
        check(lib().gavel_tokenizer_id(out, self._handle, c_text))
        return None if out[0] < 0 else out[0]

    def __len__(self) -> int:
        """Number of ids, added tokens included."""
        out = ffi.new("int32_t *")
        check(lib().gavel_tokenizer_size(out, self._handle))
        return out[0]
