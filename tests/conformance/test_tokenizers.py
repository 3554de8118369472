"""Tokenizers give the ids of their reference libraries: ``tokenizers`` and ``sentencepiece``."""

import json
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

import gavel
from gavel.toolkit.pull import models_folder

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
CHECKPOINTS = {
    "smollm2": "smollm2-135m-instruct.gguf",
    "qwen2.5": "qwen2.5-coder-0.5b-instruct.gguf",
}
EXAMPLES = settings(max_examples=10_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))

# Text as users write it is far from random: mix code, marks, digits, spaces and what looks like special tokens into it.
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["    ", "\t", "\r\n", "\n\n", " \n", "\u00a0", "\u180e", "\u3000", "'s", "'LL", "'\u017f", "int ", "x1"]
    ),
    st.sampled_from(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|fim_prefix|>", "<tool_call>", "<|im_", "|>"]),
    st.text(st.characters(categories=["Mn", "Mc", "Me"]), max_size=4),
    st.text(st.characters(categories=["Nd", "Nl", "No"]), max_size=4),
    st.text(st.characters(categories=["Lo", "So"]), max_size=4),
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)


class Pair:
    """A file opened by Gavel and by its reference library."""

    def __init__(self, path: Path):
        self.ours = gavel.Tokenizer.open(path)
        self.reference = tokenizers.Tokenizer.from_file(str(path))
        added = self.reference.get_added_tokens_decoder()
        self.special_ids = {id for id, token in added.items() if token.special}

    def check(self, text: str) -> list[int]:
        """Equal ids and equal decoding, with special tokens read as text and as tokens. Returns the former's ids."""
        found = {}
        for special in (True, False):
            self.reference.encode_special_tokens = not special
            expected = self.reference.encode(text, add_special_tokens=False).ids
            found[special] = self.ours.encode(text, special=special)
            assert found[special] == expected, f"{text!r} with special={special}"
            decoded = self.reference.decode(expected, skip_special_tokens=not special)
            assert self.ours.decode(found[special], special=special) == decoded
        return found[False]


@pytest.fixture(scope="module", params=CHECKPOINTS)
def pair(request, tmp_path_factory) -> Pair:
    checkpoint = models_folder() / CHECKPOINTS[request.param]
    if not checkpoint.is_file():
        pytest.skip(f"{checkpoint} is not there; bring it with `gavel pull {checkpoint.stem}`")
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp(request.param)
    AutoTokenizer.from_pretrained(str(checkpoint.parent), gguf_file=checkpoint.name).save_pretrained(folder)
    path = folder / "tokenizer.json"
    whole = tokenizers.Tokenizer.from_file(str(path))
    # The conversion from GGUF leaves out what the models' own files have.
    if request.param == "smollm2":
        digits = pre_tokenizers.Digits(individual_digits=True)
        whole.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        whole.normalizer = normalizers.NFC()
    whole.save(str(path))
    return Pair(path)


def texts_of(value) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for part in value for text in texts_of(part)] if isinstance(value, list) else []


def test_prompts_and_solutions(pair):
    files = sorted(DATA.glob("*.jsonl"))
    if not files:
        pytest.skip(f"no data sets in {DATA}")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    texts = {text for line in lines for text in texts_of(json.loads(line))}
    assert len(texts) > 1000
    for text in texts:
        pair.check(text)


def test_unicode(pair):
    @EXAMPLES
    @given(TEXTS)
    def check(text):
        assert not pair.special_ids.intersection(pair.check(text))

    check()


def test_every_character(pair):
    """Every code point, in texts of 64 neighbours."""
    for first in range(0, 0x110000, 64):
        if not 0xD800 <= first < 0xE000:
            pair.check("".join(map(chr, range(first, first + 64))))


def test_special_looking_text_round_trips(pair):
    for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        text = f"print('{token}')  # {token}system\n"
        ids = pair.ours.encode(text)
        assert not pair.special_ids.intersection(ids)
        assert pair.ours.decode(ids) == text
        assert pair.ours.id(token) in pair.ours.encode(text, special=True)


def test_text_round_trips(pair):
    for text in ("def f(x):\n    return x ** 2  # naïve\n", '\tString s = "漢字";\r\n', "  🙂  "):
        assert pair.ours.decode(pair.ours.encode(text)) == text


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def pieces(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(Path(__file__).read_text(encoding="utf-8").splitlines() * 4), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer"),
        model_type=request.param,
        vocab_size=600,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["<tool>"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = folder / "tokenizer.model"
    return gavel.Tokenizer.open(path), sentencepiece.SentencePieceProcessor(model_file=str(path))


def test_sentencepiece(pieces):
    ours, reference = pieces
    assert len(ours) == reference.get_piece_size()

    @settings(EXAMPLES, max_examples=2_000)
    @given(st.one_of(TEXTS, st.sampled_from(["<s>a</s>", " <tool> <tool>", "\u2581a", "<0x41>", "a  b"])))
    def check(text):
        ids, expected = ours.encode(text), reference.encode(text)
        if ids != expected:  # two segmentations of one score: versions of the library differ in which they take
            scores = [sum(map(reference.get_score, each)) for each in (ids, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4) and len(ids) == len(expected)
        assert ours.decode(ids) == reference.decode(ids) == reference.decode(expected)
        # The sign for a space is itself read as one, and nothing else is lost.
        assert ours.decode(ids) == text.replace("\u2581", " ")
        assert not any(reference.is_control(id) for id in ids)

    check()


def test_sentencepiece_bytes(pieces):
    ours, reference = pieces
    for id in range(len(ours)):
        piece = reference.id_to_piece(id)
        if reference.is_control(id):
            assert ours.token_bytes(id) == b""
        elif reference.is_byte(id):
            assert ours.token_bytes(id) == bytes([int(piece[3:5], 16)])
        elif not reference.is_unknown(id):
            assert ours.token_bytes(id) == piece.replace("\u2581", " ").encode()
        assert ours.id(piece) == id
