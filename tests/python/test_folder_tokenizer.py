"""Every kind of folder gives the tokenizer that its reference library would use, and what goes around a text."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tiny_models as tiny
from tokenizers import Tokenizer, models, pre_tokenizers

import gavel
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.folder_tokenizer import tokenizer_file
from gavel.toolkit.text import CONTROL, Text, proto

SAMPLES = ("def add(a, b):\n    return a + b\n", "naïve  漢字\t 12", "</s> <mask> <extra_id_0>", "")


def fill(folder: Path, **files: Any) -> Path:
    """A folder with JSON files of these names."""
    for name, value in {"config": {}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def pieces(model_type: str = "unigram", **options: Any) -> bytes:
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tiny.TEXT * 20),
        model_writer=stream,
        model_type=model_type,
        vocab_size=300 if options.get("byte_fallback") else 60,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return stream.getvalue()


def save(folder: Path, data: bytes, name: str = "tokenizer.model") -> Path:
    (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("prefix", [False, True])
def test_vocabulary_and_merges_alone(prefix: bool, tmp_path: Path) -> None:
    """As CodeBERT and CodeT5+ have them."""
    model = json.loads(tiny.tokenizer().to_str())["model"]
    words = [token for token in model["vocab"] if token not in tiny.SPECIAL]
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"])}
    merges = [tuple(merge) for merge in model["merges"]]
    settings = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": prefix}
    fill(tmp_path, config={"model_type": "roberta"}, vocab=vocabulary, tokenizer_config=settings)
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]))
    file = tokenizer_file(tmp_path)
    text = Text(file)
    reference = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    (tmp_path / "made.json").write_bytes(file.data)
    opened = gavel.Tokenizer.open(tmp_path / "made.json")
    for sample in SAMPLES:
        assert opened.encode(sample) == text.encode(sample) == reference.encode(sample).ids
    assert file.name == "tokenizer.json"
    assert text.single() == ([0], [2])
    assert text.pair() == ([0], [2, 2], [2])
    assert text.special["<mask>"] == len(vocabulary) - 1


def test_tokenizer_json_comes_first(tmp_path: Path) -> None:
    save(tmp_path, pieces())
    tiny.fast_tokenizer().save_pretrained(tmp_path)
    assert tokenizer_file(tmp_path).name == "tokenizer.json"


def test_t5_has_its_extra_ids_and_an_end(tmp_path: Path) -> None:
    data = pieces(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 3, "eos_token": "</s>"}
    file = tokenizer_file(save(fill(tmp_path, tokenizer_config=settings), data, "spiece.model"))
    text, plain = Text(file), sentencepiece.SentencePieceProcessor(model_proto=data)
    size = plain.get_piece_size()
    assert file.name == "tokenizer.model"
    assert [text.id(f"<extra_id_{i}>") for i in range(3)] == [size + 2, size + 1, size]
    assert text.single() == ([], [1])
    assert text.pair() == ([], [1], [1])
    assert not text.adds_bos("<s>")
    for sample in SAMPLES:
        assert text.encode(sample) == plain.encode(sample)


def test_llama_has_its_bos_and_its_added_tokens(tmp_path: Path) -> None:
    data = pieces("bpe", byte_fallback=True, normalization_rule_name="identity")
    size = len(proto(data).pieces)
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": True},
            "1": {"content": "<s>", "special": True},
            str(size): {"content": "<|im_end|>", "special": True},
            str(size + 1): {"content": "<tool>", "special": False},
        },
    }
    text = Text(tokenizer_file(save(fill(tmp_path, tokenizer_config=settings), data)))
    assert text.single() == ([1], [])
    assert text.pair() == ([1], [1], [])
    assert text.adds_bos("<s>")
    assert text.special.items() >= {"<s>": 1, "<|im_end|>": size}.items()
    assert text.encode("a<tool>")[-1] == size + 1
    assert size not in text.encode("a<|im_end|>")


@pytest.mark.parametrize("prefix", [True, False])
def test_the_folder_says_whether_a_space_comes_first_and_which_tokens_go_around(prefix: bool, tmp_path: Path) -> None:
    settings = {"add_prefix_space": prefix, "add_bos_token": False, "add_eos_token": True}
    text = Text(tokenizer_file(save(fill(tmp_path, tokenizer_config=settings), pieces())))
    assert text.single() == ([], [2])
    assert text.pair() == ([], [2], [2])
    alone = text.encode("a")
    assert (text.encode("b a")[-len(alone) :] == alone) == prefix


def test_a_piece_that_the_folder_calls_special_is_no_text(tmp_path: Path) -> None:
    """Gemma's turn tokens are user-defined pieces of its model."""
    data = pieces(user_defined_symbols="<start_of_turn>")
    index = [piece.piece for piece in proto(data).pieces].index("<start_of_turn>")
    added = {str(index): {"content": "<start_of_turn>", "special": True}}
    file = tokenizer_file(save(fill(tmp_path, tokenizer_config={"added_tokens_decoder": added}), data))
    assert proto(file.data).pieces[index].type == CONTROL
    assert index not in Text(file).encode("a <start_of_turn>")


def test_older_folders_list_added_tokens_in_a_file(tmp_path: Path) -> None:
    data = pieces()
    size = len(proto(data).pieces)
    fill(
        tmp_path,
        added_tokens={"<|im_end|>": size, "<tool>": size + 1},
        special_tokens_map={"additional_special_tokens": ["<|im_end|>"]},
    )
    text = Text(tokenizer_file(save(tmp_path, data)))
    assert "<|im_end|>" in text.special and "<tool>" in text.added and "<tool>" not in text.special


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"added_tokens_decoder": {"5": {"content": "<x>"}}}, "'<x>' has id 5, which is"),
        ({"added_tokens_decoder": {"999": {"content": "<x>"}}}, "'<x>' has id 999, but the model ends at"),
        ({"bos_token": "<begin>"}, "no special token '<begin>'"),
    ],
)
def test_settings_that_contradict_the_model_are_refused(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=message):
        tokenizer_file(save(fill(tmp_path, tokenizer_config=settings), pieces()))


def test_files_that_are_no_tokenizer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"has no tokenizer: neither tokenizer\.json"):
        tokenizer_file(fill(tmp_path))
    with pytest.raises(ToolkitError, match="is not a SentencePiece model"):
        tokenizer_file(save(tmp_path, b"\xff\xff"))
