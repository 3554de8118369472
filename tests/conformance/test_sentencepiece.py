"""SentencePiece models give the ids and texts of the ``sentencepiece`` library, with the habits of their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import record
from test_tokenizers import EXAMPLES, TABLE, data_texts, texts_with
from tokenizer_families import MARK, trained_pieces

import gavel
from gavel.toolkit.folder_tokenizer import tokenizer_file

IDENTITY = {"normalization": "identity", "remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True}
LLAMA = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
# The file's name, how it was trained, and its tokenizer_config.json.
MODELS = {
    "t5": ("spiece.model", ("unigram", False), {}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 4}),
    "llama 2, codellama": ("tokenizer.model", ("bpe", True), IDENTITY, LLAMA),
    "gemma": (
        "tokenizer.model",
        ("bpe", True),
        IDENTITY | {"add_dummy_prefix": False, "user_defined_symbols": "<start_of_turn>,\t,<tool>"},
        {"added_tokens_decoder": {"3": {"content": "<start_of_turn>", "special": True}}},
    ),
    "opencoder": (
        "tokenizer.model",
        ("bpe", True),
        IDENTITY,
        {
            "add_prefix_space": False,
            "add_bos_token": False,
            "added_tokens_decoder": {"3000": {"content": "<|im_end|>"}},
        },
    ),
    "unigram with byte fallback": (
        "tokenizer.model",
        ("unigram", True),
        IDENTITY | {"user_defined_symbols": "<tool>"},
        {},
    ),
}


class Pair:
    """A folder's SentencePiece model, opened by Gavel and by its reference library."""

    def __init__(self, name: str, folder):
        file, (kind, byte_fallback), options, habits = MODELS[name]
        pieces = trained_pieces(kind, byte_fallback, **options)
        (folder / file).write_bytes(pieces.SerializeToString())
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer_config.json").write_text(json.dumps(habits))
        made = tokenizer_file(folder)
        (folder / "made.model").write_bytes(made.data)
        self.name, self.kind = name, f"SentencePiece {kind}"
        self.texts = self.mismatches = 0
        self.keeps_text = "normalization" in options
        self.ours = gavel.Tokenizer.open(folder / "made.model")
        self.reference = sentencepiece.SentencePieceProcessor(model_proto=made.data)

    def check(self, text: str) -> None:
        self.texts += 1
        ids, expected = self.ours.encode(text), self.reference.encode(text)
        if ids != expected:  # two segmentations of one score: versions of the library differ in which they take
            scores = [sum(map(self.reference.get_score, each)) for each in (ids, expected)]
            tie = scores[0] == pytest.approx(scores[1], abs=1e-4) and len(ids) == len(expected)
            self.mismatches += not tie
            assert tie, text
        assert self.ours.decode(ids) == self.reference.decode(ids) == self.reference.decode(expected)
        if self.keeps_text:  # but for the sign for a space, which is itself read as one
            assert self.ours.decode(ids) == text.replace(MARK, " ")
        assert not any(self.reference.is_control(id) for id in ids)


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory) -> Iterator[Pair]:
    made = Pair(request.param, tmp_path_factory.mktemp("pieces"))
    yield made
    record(
        TABLE,
        {"family": made.name, "kind": made.kind, "texts compared": made.texts, "mismatches": made.mismatches},
    )


def test_prompts_and_solutions(pair):
    for text in data_texts():
        pair.check(text)


def test_unicode(pair):
    @settings(EXAMPLES, max_examples=1_000)
    @given(st.one_of(texts_with(["<s>", "</s>", "<start_of_turn>", "<tool>", "<extra_id_0>", "<0x41>", "<|im_end|>"])))
    def check(text):
        pair.check(text)

    check()


def test_bytes_of_pieces(pair):
    for id in range(len(pair.ours)):
        piece = pair.reference.id_to_piece(id)
        if pair.reference.is_control(id):
            assert pair.ours.token_bytes(id) == b""
        elif pair.reference.is_byte(id):
            assert pair.ours.token_bytes(id) == bytes([int(piece[3:5], 16)])
        elif not pair.reference.is_unknown(id):
            assert pair.ours.token_bytes(id) == piece.replace(MARK, " ").encode()
        assert pair.ours.id(piece) == id
