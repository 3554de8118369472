"""Tokenizers give the ids of their reference libraries: ``tokenizers`` and ``sentencepiece``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import record
from tokenizer_families import MARK, ROOT, families
from tokenizers import normalizers, pre_tokenizers

import gavel
from gavel.toolkit.gguf_tokenizer import PRE_TOKENIZERS
from gavel.toolkit.pull import models_folder
from gavel.toolkit.sources import TokenizerFile
from gavel.toolkit.text import Text, without_special

DATA = ROOT.parent / "shared" / "data"
CHECKPOINTS = {
    "smollm2-135m-instruct": "smollm2-135m-instruct.gguf",
    "qwen2.5-coder-0.5b-instruct": "qwen2.5-coder-0.5b-instruct.gguf",
}
FAMILIES = families()
# They fold characters or spaces, keep the space they put first, or take one that the text began with for theirs.
LOSSY = (
    "llama 2 (legacy off)",
    "codet5+ (prefix space)",
    "t5, flan-t5",
    "xlm-roberta",
    "spm converter",
    "uncased unigram",
)
TABLE = "Tokenizers against their reference libraries"
EXAMPLES = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
# Text as users write it is far from random: mix code, marks, digits, spaces and what looks like special tokens into it.
PARTS = (
    st.text(max_size=8),
    st.sampled_from(
        ["    ", "\t", "\r\n", "\n\n", " \n", "\u00a0", "\u180e", "\u3000", "'s", "'LL", "'\u017f", "int ", "x1", "  "]
    ),
    st.sampled_from(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|fim_prefix|>", "<tool_call>", "<|im_", "|>"]),
    st.sampled_from(
        ["HTTPServer2", "iPhone's", "\u01c5", "\u0130", "\ufb01", "e\u0301", "\u2581", "<0x41>", "\u200b", "\x00"]
    ),
    st.text(st.characters(categories=["Mn", "Mc", "Me"]), max_size=4),
    st.text(st.characters(categories=["Nd", "Nl", "No"]), max_size=4),
    st.text(st.characters(categories=["Lo", "So"]), max_size=4),
)


def texts_with(tokens: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*PARTS, *([st.sampled_from(tokens)] if tokens else [])), max_size=10).map("".join)


class Pair:
    """A tokenizer.json opened by Gavel and by its reference library."""

    def __init__(self, name: str, kind: str, path: Path):
        self.name, self.kind = name, kind
        self.texts = self.mismatches = 0
        self.ours = gavel.Tokenizer.open(path)
        self.reference = tokenizers.Tokenizer.from_file(str(path))
        description = json.loads(path.read_text(encoding="utf-8"))
        unknown = description["model"].get("unk_id")
        # Text that never becomes a special token.
        self.plain = tokenizers.Tokenizer.from_str(json.dumps(without_special(description)))
        self.plain.encode_special_tokens = True
        added = self.reference.get_added_tokens_decoder()
        self.added = [token.content for token in added.values()]
        self.special = [token.content for token in added.values() if token.special]
        self.special_ids = {id for id, token in added.items() if token.special and id != unknown}

    def check(self, texts: list[str], special: bool) -> None:
        """Equal ids and equal decoding of all texts."""
        reference = self.reference if special else self.plain
        expected = [found.ids for found in reference.encode_batch_fast(texts, add_special_tokens=False)]
        decoded = self.reference.decode_batch(expected, skip_special_tokens=not special)
        self.texts += len(texts)
        for text, ids, written in zip(texts, expected, decoded, strict=True):
            found = self.ours.encode(text, special=special)
            if found != ids or self.ours.decode(found, special=special) != written:
                self.mismatches += 1
                raise AssertionError(f"{self.name}: {text!r}, special={special}: {found} is not {ids} ({written!r})")
            if not special:
                assert not self.special_ids.intersection(found)

    def report(self) -> None:
        row = {"family": self.name, "kind": self.kind, "texts compared": self.texts, "mismatches": self.mismatches}
        record(TABLE, row)


def gguf_tokenizer(name: str, folder: Path) -> Path:
    checkpoint = models_folder() / CHECKPOINTS[name]
    if not checkpoint.is_file():
        pytest.skip(f"{checkpoint} is not there; bring it with `gavel pull {checkpoint.stem}`")
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(checkpoint.parent), gguf_file=checkpoint.name).save_pretrained(folder)
    path = folder / "tokenizer.json"
    whole = tokenizers.Tokenizer.from_file(str(path))
    # The conversion from GGUF leaves out what the models' own files have.
    if name.startswith("smollm2"):
        digits = pre_tokenizers.Digits(individual_digits=True)
        whole.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        whole.normalizer = normalizers.NFC()
    whole.save(str(path))
    return path


@pytest.fixture(scope="module", params=[*CHECKPOINTS, *FAMILIES])
def pair(request, tmp_path_factory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param in CHECKPOINTS:
        made = Pair(request.param, "byte-level BPE", gguf_tokenizer(request.param, folder))
    else:
        path = folder / "tokenizer.json"
        path.write_text(FAMILIES[request.param].json(), encoding="utf-8")
        made = Pair(request.param, FAMILIES[request.param].kind, path)
    yield made
    made.report()


@cache
def data_texts() -> list[str]:
    def texts_of(value) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            value = list(value.values())
        return [text for part in value for text in texts_of(part)] if isinstance(value, list) else []

    files = sorted(DATA.glob("*.jsonl"))
    if not files:
        pytest.skip(f"no data sets in {DATA}")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return sorted({text for line in lines for text in texts_of(json.loads(line))})


def test_prompts_and_solutions(pair):
    texts = data_texts()
    assert len(texts) > 1000
    pair.check(texts, special=False)
    # With special tokens in them, wherever a line ends.
    if pair.added:
        spliced = [text.replace("\n", pair.added[i % len(pair.added)] + "\n") for i, text in enumerate(texts[::8])]
        pair.check(spliced, special=True)


def test_unicode(pair):
    @settings(EXAMPLES, max_examples=4_000 if pair.name in CHECKPOINTS else 1_000)
    @given(texts_with(pair.added))
    def check(text):
        for special in (True, False):
            pair.check([text], special)

    check()


def test_every_character(pair):
    """Every code point of the planes that have characters, in texts of 64 neighbours."""
    planes = (*range(0, 0xD800, 64), *range(0xE000, 0x40000, 64), *range(0xE0000, 0xE1000, 64))
    pair.check(["".join(map(chr, range(first, first + 64))) for first in planes], special=False)


def test_text_that_looks_special_round_trips(pair):
    for token in pair.special:
        text = f"print('{token}')  # {token} system\n"
        ids = pair.ours.encode(text)
        assert not pair.special_ids.intersection(ids)
        if pair.name not in LOSSY:
            # Models with byte fallback read the sign for a space as one.
            assert pair.ours.decode(ids) == (text.replace(MARK, " ") if "fallback" in pair.kind else text)
        assert pair.ours.id(token) in pair.ours.encode(text, special=True)


def test_text_round_trips(pair):
    texts = ["def f(x):\n    return x ** 2  # na\u00efve\n", '\tString s = "\u6f22\u5b57";\r\n', "  \U0001f642  "]
    for text in texts:
        decoded = pair.ours.decode(pair.ours.encode(text))
        assert decoded == text or pair.name in LOSSY


# What each family's tokenizer puts before and after a text, and between two.
AROUND = {
    "roberta, codebert": (["<s>"], ["</s>", "</s>"], ["</s>"]),
    "codet5+ (prefix space)": (["<s>"], ["</s>", "</s>"], ["</s>"]),
    "llama 3": (["<|begin_of_text|>"], ["<|begin_of_text|>"], []),
    "deepseek-coder": (["<｜begin▁of▁sentence｜>"], ["<｜begin▁of▁sentence｜>"], []),
    "gemma 2, gemma 3": (["<bos>"], ["<bos>"], []),
    "llama 2, codellama": (["<s>"], ["<s>"], []),
    "llama 2 (first files)": (["<s>"], ["<s>"], []),
    "llama 2 (legacy off)": (["<s>"], ["<s>"], []),
    "t5, flan-t5": ([], ["</s>"], ["</s>"]),
    "xlm-roberta": (["<s>"], ["</s>", "</s>"], ["</s>"]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_around_texts(name):
    text = Text(TokenizerFile("tokenizer.json", FAMILIES[name].json().encode()))
    before, between, after = ([text.id(token) for token in tokens] for tokens in AROUND.get(name, ([], [], [])))
    assert text.single() == (before, after)
    assert text.pair() == (before, between, after)
    bos = {"<s>", "<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>"}
    assert any(map(text.adds_bos, bos)) == bool(before)


@pytest.mark.parametrize(
    ("pre", "name"),
    [
        ("gpt-2", "gpt2"),
        ("qwen2", "qwen2, qwen2.5, qwen3"),
        ("llama-bpe", "llama 3"),
        ("deepseek-coder", "deepseek-coder"),
        ("smollm", "smollm2, starcoder2, granite"),
        ("starcoder", "smollm2, starcoder2, granite"),
        ("refact", "smollm2, starcoder2, granite"),
        ("gpt-4o", "o200k (phi-4-mini)"),
    ],
)
def test_gguf_names_split_as_the_families_do(pre, name):
    ours = pre_tokenizers.Sequence(PRE_TOKENIZERS[pre]())
    published = FAMILIES[name].pre_tokenizer

    @settings(EXAMPLES, max_examples=300)
    @given(texts_with([]))
    def check(text):
        assert ours.pre_tokenize_str(text) == published.pre_tokenize_str(text)

    check()
