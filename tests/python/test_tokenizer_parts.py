"""What of a tokenizer.json is exported opens in the library, and what is refused by name is refused there too."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny

import gavel
from gavel.errors import Unsupported
from gavel.toolkit.errors import ToolkitError, UnsupportedError
from gavel.toolkit.export import export
from gavel.toolkit.sources import TokenizerFile
from gavel.toolkit.text import Text
from gavel.toolkit.tokenizer_parts import PARTS, check, check_opens

MARK = "\u2581"
METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
REPLACE = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
# A map of nothing: a trie of empty units and one empty text.
MAP = base64.b64encode((1024).to_bytes(4, "little") + bytes(1024) + b"\0").decode()


def split(**changes: Any) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": r"\d"}, "behavior": "Isolated", "invert": False} | changes


def byte_level(**parts: Any) -> dict[str, Any]:
    """A byte-level BPE, with parts of another kind."""
    return json.loads(tiny.tokenizer().to_str()) | parts


def unigram(**parts: Any) -> dict[str, Any]:
    """A Unigram model, with parts of another kind."""
    vocabulary = [["<unk>", 0.0], [MARK, -2.0], [f"{MARK}a", -1.0], ["b", -3.0]]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": METASPACE,
        "post_processor": None,
        "decoder": METASPACE,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False},
    } | parts


def in_sequence(key: str, *steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", key: list(steps)}


NORMALIZERS = [
    *({"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")),
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Prepend", "prepend": MARK},
    {"type": "Replace", "pattern": {"String": " "}, "content": MARK},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Precompiled", "precompiled_charsmap": MAP},
    in_sequence("normalizers"),
    in_sequence("normalizers", {"type": "NFC"}, in_sequence("normalizers", {"type": "Lowercase"})),
]
PRE_TOKENIZERS = [
    METASPACE | {"prepend_scheme": "first", "split": False},
    METASPACE | {"prepend_scheme": "never"},
    {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True, "str_rep": MARK},
    in_sequence("pretokenizers", {"type": "WhitespaceSplit"}, METASPACE),
    *(split(behavior=name) for name in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")),
    split(pattern={"String": " "}),
    None,
]
TEMPLATE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {}}
TEMPLATE["pair"] = [*TEMPLATE["single"], {"Sequence": {"id": "B", "type_id": 1}}]
POST_PROCESSORS = [
    BYTE_LEVEL,
    TEMPLATE,
    in_sequence("processors", BYTE_LEVEL, TEMPLATE),
    {"type": "BertProcessing", "sep": ["b", 3], "cls": ["<unk>", 0]},
    {
        "type": "RobertaProcessing",
        "sep": ["b", 3],
        "cls": ["<unk>", 0],
        "trim_offsets": True,
        "add_prefix_space": False,
    },
]
DECODERS = [
    in_sequence("decoders", METASPACE),
    in_sequence("decoders", REPLACE, FALLBACK, FUSE),
    in_sequence("decoders", REPLACE, FALLBACK, FUSE, STRIP),
    in_sequence("decoders", REPLACE, in_sequence("decoders", FUSE, STRIP)),
    REPLACE,
]
ACCEPTED = [
    byte_level(),
    *(byte_level(normalizer=each) for each in NORMALIZERS),
    *(
        byte_level(pre_tokenizer=in_sequence("pretokenizers", each, BYTE_LEVEL))
        for each in ({"type": "Digits", "individual_digits": False}, split(behavior="Removed", invert=True))
    ),
    byte_level(pre_tokenizer=BYTE_LEVEL | {"add_prefix_space": True, "use_regex": False}),
    byte_level(post_processor=in_sequence("processors", BYTE_LEVEL)),
    unigram(),
    *(unigram(normalizer=each) for each in NORMALIZERS),
    *(unigram(pre_tokenizer=each) for each in PRE_TOKENIZERS),
    *(unigram(post_processor=each) for each in POST_PROCESSORS),
    *(unigram(decoder=each) for each in DECODERS),
]
BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "unk_token": None}
REFUSED = [
    ("part novelty", unigram(novelty=1)),
    ("format version 2.0", unigram(version="2.0")),
    ("normalizer StripAccents", unigram(normalizer={"type": "StripAccents"})),
    ("normalizer BertNormalizer", unigram(normalizer=in_sequence("normalizers", {"type": "BertNormalizer"}))),
    ("normalizer NFC with novelty", unigram(normalizer={"type": "NFC", "novelty": 1})),
    (
        "normalizer Replace of the empty text",
        unigram(normalizer={"type": "Replace", "pattern": {"String": ""}, "content": "a"}),
    ),
    *(
        (f"pre_tokenizer {name}", unigram(pre_tokenizer={"type": name}))
        for name in ("BertPreTokenizer", "Whitespace", "Punctuation", "CharDelimiterSplit", "UnicodeScripts")
    ),
    (
        "pre_tokenizer Digits after ByteLevel",
        byte_level(
            pre_tokenizer=in_sequence("pretokenizers", BYTE_LEVEL, {"type": "Digits", "individual_digits": True})
        ),
    ),
    ("pre_tokenizer Split with", unigram(pre_tokenizer=split(behavior="Novel"))),
    ("prepend_scheme novel", unigram(pre_tokenizer=METASPACE | {"prepend_scheme": "novel"})),
    ("add_prefix_space false", unigram(pre_tokenizer=METASPACE | {"add_prefix_space": False})),
    (
        "prepend_scheme first after a normalizer",
        unigram(pre_tokenizer=METASPACE | {"prepend_scheme": "first"}, normalizer={"type": "NFC"}),
    ),
    ("decoder null", unigram(decoder=None)),
    *((f"decoder {name}", unigram(decoder={"type": name})) for name in ("WordPiece", "BPEDecoder", "CTC")),
    ("decoder", unigram(decoder=BYTE_LEVEL)),
    ("decoder", byte_level(decoder=METASPACE)),
    ("decoder", unigram(decoder=in_sequence("decoders", STRIP, FUSE))),
    ("decoder", unigram(decoder=in_sequence("decoders", FUSE, REPLACE))),
    ("decoder", unigram(decoder=in_sequence("decoders", FUSE, STRIP, STRIP))),
    ("decoder", unigram(decoder=in_sequence("decoders", FUSE, STRIP | {"stop": 1}))),
    ("decoder", unigram(decoder=in_sequence("decoders", METASPACE, FUSE))),
    ("post_processor Novelty", unigram(post_processor={"type": "Novelty"})),
    *((f"model {name}", unigram(model={"type": name, "vocab": {"a": 0}})) for name in ("WordPiece", "WordLevel")),
    ("model option novelty", unigram(model=unigram()["model"] | {"novelty": 1})),
    ("model option unk_id null", unigram(model=unigram()["model"] | {"unk_id": None})),
    ("model Unigram with ByteLevel", byte_level(model=unigram()["model"])),
    ("model option dropout", unigram(model=BPE | {"dropout": 0.5})),
    ("model option continuing_subword_prefix", unigram(model=BPE | {"continuing_subword_prefix": "##"})),
    ("model option byte_fallback with ByteLevel", byte_level(model=byte_level()["model"] | {"byte_fallback": True})),
]


def write(folder: Path, description: dict[str, Any]) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(description), encoding="utf-8")
    return path


@pytest.mark.parametrize("description", ACCEPTED)
def test_what_is_accepted_opens(description: dict[str, Any], tmp_path: Path) -> None:
    check(description)
    path = write(tmp_path, description)
    opened = gavel.Tokenizer.open(path)
    text = Text(TokenizerFile(path.name, path.read_bytes()))
    assert opened.encode("a b") == text.encode("a b")
    assert len(opened) == text.size


@pytest.mark.parametrize(("named", "description"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_is_refused_by_the_library_too(named: str, description: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=named) as refused:
        check(description)
    assert "supported: " in str(refused.value)
    with pytest.raises(Unsupported):
        gavel.Tokenizer.open(write(tmp_path, description))


def test_every_type_is_tried() -> None:
    tried = json.dumps([ACCEPTED, BPE])
    for types in PARTS.values():
        for name in types:
            assert f'"type": "{name}"' in tried, name


def test_the_library_has_the_last_word() -> None:
    """A pattern whose meaning the library's engine does not share, and a vocabulary that contradicts itself."""
    description = unigram(pre_tokenizer=split(pattern={"Regex": r"\w+"}))
    check(description)
    with pytest.raises(UnsupportedError, match=r"cannot be exported.*\\w"):
        check_opens("tokenizer.json", json.dumps(description).encode())
    vocabulary = [["<unk>", 0.0], ["a", -1.0], ["a", -2.0]]
    twice = unigram(model={"type": "Unigram", "unk_id": 0, "vocab": vocabulary})
    with pytest.raises(ToolkitError, match="there twice"):
        check_opens("tokenizer.json", json.dumps(twice).encode())


def test_text_refuses_by_name() -> None:
    with pytest.raises(UnsupportedError, match="normalizer StripAccents is not supported; supported: Sequence, NFC"):
        Text(TokenizerFile("tokenizer.json", json.dumps(unigram(normalizer={"type": "StripAccents"})).encode()))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("normalizer", {"type": "StripAccents"}, "normalizer StripAccents is not supported"),
        (
            "pre_tokenizer",
            in_sequence("pretokenizers", split(pattern={"Regex": r"\w+"}), BYTE_LEVEL),
            "cannot be exported",
        ),
    ],
)
def test_export_refuses(part: str, value: dict[str, Any], message: str, tmp_path: Path) -> None:
    checkpoint = tiny.save(tiny.model("llama"), tmp_path / "checkpoint")
    write(checkpoint, json.loads((checkpoint / "tokenizer.json").read_text()) | {part: value})
    with pytest.raises(UnsupportedError, match=message):
        export(checkpoint, tmp_path / "refused.gavel", precision="fp32")
    assert not (tmp_path / "refused.gavel").exists()
