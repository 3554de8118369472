"""The reference tokenizers (the tokenizers and sentencepiece libraries), as export needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import tokenizer_parts
from .errors import ToolkitError, UnsupportedError
from .sources import TokenizerFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece's piece types, GGUF's too

Ids = list[int]


class Text:
    """Text to ids as the bundle's tokenizer must do it: no text becomes a special token, nothing is added.

    Raises UnsupportedError naming the part of a tokenizer.json that Gavel does not run, ToolkitError for a file that
    cannot be read."""

    def __init__(self, file: TokenizerFile) -> None:
        self.file = file
        try:
            if file.name.endswith(".model"):
                self._open_sentencepiece()
            else:
                self._open_json()
        except UnsupportedError:
            raise
        except Exception as error:
            raise ToolkitError(f"{file.name} cannot be read: {error}") from error

    def _open_sentencepiece(self) -> None:
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_proto=self.file.data)
        self.type = "sentencepiece"
        self.size = pieces.vocab_size()
        types = {piece.piece: (i, piece.type) for i, piece in enumerate(proto(self.file.data).pieces)}
        self.added = {text: i for text, (i, kind) in types.items() if kind in (CONTROL, USER_DEFINED)}
        self.special = {text: i for text, i in self.added.items() if pieces.is_control(i)}
        self._encode = pieces.encode
        self._find = lambda text: pieces.piece_to_id(text) if pieces.piece_to_id(text) != pieces.unk_id() else None
        before, after = self.file.around
        self._single = list(before), list(after)
        self._pair = list(before), [*after, *before], list(after)

    def _open_json(self) -> None:
        from tokenizers import Tokenizer

        description = json.loads(self.file.data)
        tokenizer_parts.check(description)
        whole = plain = Tokenizer.from_str(self.file.data.decode("utf-8"))
        if (hidden := without_special(description)) is not description:
            plain = Tokenizer.from_str(json.dumps(hidden))
        for tokenizer in (whole, plain):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        plain.encode_special_tokens = True
        self.type = type(whole.model).__name__.lower()
        self.size = 1 + max(whole.get_vocab(with_added_tokens=True).values())
        tokens = whole.get_added_tokens_decoder()
        self.added = {token.content: i for i, token in tokens.items()}
        self.special = {token.content: i for i, token in tokens.items() if token.special}
        self._encode = lambda text: plain.encode(text, add_special_tokens=False).ids
        self._find = whole.token_to_id
        probe = "a1"
        self._single = parts_around(whole.encode(probe), 1)
        self._pair = parts_around(whole.encode(probe, probe), 2)

    def encode(self, text: str) -> Ids:
        return list(self._encode(text)) if text else []

    def id(self, written: str) -> int | None:
        return self._find(written)

    def single(self) -> tuple[Ids, Ids]:
        """What the model's own tokenizer puts before and after a text."""
        before, after = self._single
        return before, after

    def pair(self) -> tuple[Ids, Ids, Ids]:
        """What the model's own tokenizer puts before, between and after two texts."""
        before, between, after = self._pair
        return before, between, after

    def adds_bos(self, bos: str | None) -> bool:
        """Whether the model's own tokenizer puts BOS before a text."""
        return bos is not None and self.single()[0][:1] == [self.id(bos)]


def parts_around(encoding: Any, texts: int) -> tuple[Ids, ...]:
    """The ids before, between and after the texts of an encoding."""
    owners = encoding.sequence_ids
    ranges = [[i for i, owner in enumerate(owners) if owner == text] for text in range(texts)]
    starts, ends = [each[0] for each in ranges if each], [each[-1] + 1 for each in ranges if each]
    found = len(starts) == texts and starts == sorted(starts)
    if not found or any(None in owners[start:end] for start, end in zip(starts, ends, strict=True)):
        raise UnsupportedError(
            "tokenizer.json: a post_processor that puts more into a text than tokens around it is not supported"
        )
    bounds = zip([0, *ends], [*starts, len(owners)], strict=True)
    return tuple(encoding.ids[end:start] for end, start in bounds)


def without_special(description: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json in which no text becomes a special token. A Unigram model finds special tokens among its own
    ones, where the reference's switch does not reach: they are written as no text is."""
    if not isinstance(description["model"].get("vocab"), list):
        return description
    added = description.get("added_tokens") or []
    hidden = {token["content"]: f"\ue000{token['content']}\ue001" for token in added if token["special"]}
    vocabulary = [[hidden.get(piece, piece), score] for piece, score in description["model"]["vocab"]]
    return description | {
        "model": description["model"] | {"vocab": vocabulary},
        "added_tokens": [token | {"content": hidden.get(token["content"], token["content"])} for token in added],
    }


def proto(data: bytes) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(data)
    return model


def add_pieces(model: Any, added: Sequence[tuple[int, str, bool]]) -> None:
    """Gives a SentencePiece model (a protocol buffer) a checkpoint's own tokens: id, text, and whether it is special.
    Those that are pieces of the model already become what the checkpoint says; further ones come behind."""
    for index, text, special in sorted(added):
        if index > len(model.pieces):
            raise ToolkitError(f"added token {text!r} has id {index}, but the model ends at {len(model.pieces)}")
        if index == len(model.pieces):
            model.pieces.add(piece=text, score=0.0)
        piece = model.pieces[index]
        if piece.piece != text:
            raise ToolkitError(f"added token {text!r} has id {index}, which is {piece.piece!r} in the model")
        if piece.type != UNKNOWN:
            piece.type = CONTROL if special else USER_DEFINED
