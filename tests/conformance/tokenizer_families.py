"""The tokenizers of the model families: each family's published settings around a vocabulary trained here.

Normalizer, pre-tokenizer, decoder, post-processor, model options and added tokens are those of the families' own
tokenizer.json files; the vocabularies are small ones, trained on this repository's text. The last two are no family's:
they ask for what is left of the parts that Unigram models come with.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
MARK = "\u2581"  # SentencePiece's sign for a space
VOCABULARY = 4000
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclass(frozen=True)
class Family:
    """`tokens` come first in the vocabulary, `further` behind it, as added tokens both; `options` are the model's."""

    kind: str
    normalizer: Any = None
    pre_tokenizer: Any = None
    decoder: Any = None
    post_processor: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    tokens: Sequence[AddedToken] = ()
    further: Sequence[AddedToken] = ()
    without: str = ""  # letters that the byte-level vocabulary lacks

    def json(self) -> str:
        return MAKERS[self.kind](self)


def special(*contents: str, **how: bool) -> list[AddedToken]:
    return [AddedToken(content, special=True, **{"normalized": False, **how}) for content in contents]


def plain(*contents: str, **how: bool) -> list[AddedToken]:
    return [AddedToken(content, special=False, **{"normalized": False, **how}) for content in contents]


def corpus() -> list[str]:
    patterns = (
        "lib/**/*.cpp",
        "include/**/*.hpp",
        "bindings/python/**/*.py",
        "tests/**/*.py",
        "*.md",
        "examples/**/*.c",
        "examples/**/*.cpp",
        "examples/**/*.py",
        "examples/**/*.md",
        "examples/tasks/*.jsonl",
    )
    files = sorted({path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()})
    return [file.read_text(encoding="utf-8") for file in files]


def assembled(family: Family, model: dict[str, Any], tokens: dict[str, int]) -> str:
    """The tokenizer.json of a model, with the family's parts around it. `tokens`: ids of the added ones in it."""
    empty = Tokenizer(models.BPE())
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        if getattr(family, part) is not None:
            setattr(empty, part, getattr(family, part))
    whole = json.loads(empty.to_str())
    size = len(model["vocab"])
    ids = [(tokens[token.content], token) for token in family.tokens]
    ids += [(size + i, token) for i, token in enumerate(family.further)]
    whole["added_tokens"] = [
        {
            "id": i,
            "content": token.content,
            "single_word": token.single_word,
            "lstrip": token.lstrip,
            "rstrip": token.rstrip,
            "normalized": token.normalized,
            "special": token.special,
        }
        for i, token in sorted(ids, key=lambda entry: entry[0])
    ]
    whole["model"] = model | family.options
    # Post-processors name ids, which are known only now.
    places = tokens | {token.content: size + i for i, token in enumerate(family.further)}
    if family.post_processor is not None:
        whole["post_processor"] = with_ids(whole["post_processor"], places)
    return json.dumps(whole, ensure_ascii=False)


def with_ids(part: Any, ids: dict[str, int]) -> Any:
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], ids[part[0]]]
        return [with_ids(each, ids) for each in part]
    if not isinstance(part, dict):
        return part
    part = {key: with_ids(value, ids) for key, value in part.items()}
    if isinstance(part.get("ids"), list) and part.get("tokens"):
        part["ids"] = [ids[token] for token in part["tokens"]]
    return part


def byte_level_bpe(family: Family) -> str:
    made = Tokenizer(models.BPE())
    made.normalizer = family.normalizer
    made.pre_tokenizer = family.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(family.tokens),
        initial_alphabet=[letter for letter in pre_tokenizers.ByteLevel.alphabet() if letter not in family.without],
        show_progress=False,
    )
    made.train_from_iterator(corpus(), trainer)
    model = json.loads(made.to_str())["model"]
    return assembled(family, model, {token.content: model["vocab"][token.content] for token in family.tokens})


def byte_fallback_bpe(family: Family) -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    first = [token.content for token in family.tokens] + BYTES
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=first, limit_alphabet=120, max_token_length=16, show_progress=False
    )
    made.train_from_iterator([line for text in corpus() for line in text.splitlines()], trainer)
    model = json.loads(made.to_str())["model"]
    for i in range(2, 9):  # runs of spaces, which the pre-tokenizer here keeps apart
        if MARK * i not in model["vocab"]:
            model["vocab"][MARK * i] = len(model["vocab"])
            model["merges"].append([MARK * (i - 1), MARK])
    model |= {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    return assembled(family, model, {token.content: model["vocab"][token.content] for token in family.tokens})


def unigram(family: Family) -> str:
    pieces = trained_pieces("unigram", family.options.get("byte_fallback", False))
    names = [token.content for token in family.tokens]
    model = {
        "type": "Unigram",
        "unk_id": names.index("<unk>"),
        "byte_fallback": False,
        "vocab": [[name, 0.0] for name in names] + [[p.piece, p.score] for p in pieces.pieces if p.piece not in names],
    }
    return assembled(family, model, {name: i for i, name in enumerate(names)})


MAKERS: dict[str, Callable[[Family], str]] = {
    "byte-level BPE": byte_level_bpe,
    "byte-fallback BPE": byte_fallback_bpe,
    "Unigram": unigram,
}


@cache
def trained_pieces(model_type: str, byte_fallback: bool, normalization: str = "nmt_nfkc", **options: Any) -> Any:
    """A SentencePiece model of this repository's text, as a protocol buffer."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in corpus() for line in text.splitlines() if line.strip()]),
        model_writer=stream,
        model_type=model_type,
        vocab_size=3000,
        byte_fallback=byte_fallback,
        normalization_rule_name=normalization,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return sentencepiece_model_pb2.ModelProto.FromString(stream.getvalue())


def nmt_nfkc() -> Any:
    return normalizers.Precompiled(trained_pieces("unigram", False).normalizer_spec.precompiled_charsmap)


def split(pattern: str, behavior: str = "isolated", invert: bool = False) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(*, prefix: bool = False, regex: bool = True) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def sequence(*steps: Any) -> Any:
    return pre_tokenizers.Sequence(list(steps))


def template(single: str, pair: str, *tokens: str) -> Any:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(token, 0) for token in tokens])


def spaces_back(*, strip: bool) -> Any:
    """The decoder of models with byte fallback."""
    last = [decoders.Strip(" ", 1, 0)] if strip else []
    return decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), *last])


WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{CONTRACTIONS}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{CONTRACTIONS}?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
BYTE_DECODER = decoders.ByteLevel()
NEVER_IN_UTF8 = "õ÷ÁýÀÿøúþüùöû"  # how byte-level vocabularies write bytes that no text has
ROBERTA = [
    *special("<s>", "<pad>", "</s>", "<unk>", normalized=True),
    *special("<mask>", lstrip=True),
]


def families() -> dict[str, Family]:
    bytes_bpe, fallback_bpe = "byte-level BPE", "byte-fallback BPE"
    llama = [*special("<unk>", "<s>", "</s>")]
    llama_template = template("<s> $A", "<s> $A <s>:1 $B:1", "<s>")
    with_prefix = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    t5_words = sequence(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace())
    return {
        "gpt2": Family(
            bytes_bpe,
            pre_tokenizer=byte_level(),
            decoder=BYTE_DECODER,
            post_processor=processors.ByteLevel(trim_offsets=False),
            tokens=special("<|endoftext|>", normalized=True),
        ),
        "roberta, codebert": Family(
            bytes_bpe,
            pre_tokenizer=byte_level(),
            decoder=BYTE_DECODER,
            post_processor=processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False),
            tokens=ROBERTA,
        ),
        "codet5+ (prefix space)": Family(
            bytes_bpe,
            pre_tokenizer=byte_level(prefix=True),
            decoder=BYTE_DECODER,
            post_processor=processors.RobertaProcessing(("</s>", 2), ("<s>", 0)),
            tokens=[
                *special("<s>", "<pad>", "</s>", "<unk>", normalized=True),
                *special("<mask>", "<extra_id_1>", "<extra_id_0>", lstrip=True),
            ],
        ),
        "llama 3": Family(
            bytes_bpe,
            pre_tokenizer=sequence(split(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{REST}"), byte_level(regex=False)),
            decoder=BYTE_DECODER,
            post_processor=processors.Sequence(
                [
                    processors.ByteLevel(trim_offsets=False),
                    template(
                        "<|begin_of_text|> $A", "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", "<|begin_of_text|>"
                    ),
                ]
            ),
            options={"ignore_merges": True},
            further=special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>"),
        ),
        "qwen2, qwen2.5, qwen3": Family(
            bytes_bpe,
            normalizer=normalizers.NFC(),
            pre_tokenizer=sequence(split(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{REST}"), byte_level(regex=False)),
            decoder=BYTE_DECODER,
            post_processor=processors.ByteLevel(trim_offsets=False),
            further=[
                *special("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
                *plain("<tool_call>", "<|fim_prefix|>", "<think>"),
            ],
        ),
        "deepseek-coder": Family(
            bytes_bpe,
            normalizer=normalizers.Sequence([]),
            pre_tokenizer=sequence(
                split(r"[\r\n]"),
                split(r"\s?\p{L}+"),
                split(r"\s?\p{P}+"),
                split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
                pre_tokenizers.Digits(individual_digits=True),
                byte_level(regex=False),
            ),
            decoder=BYTE_DECODER,
            post_processor=template(
                "<｜begin▁of▁sentence｜> $A",
                "<｜begin▁of▁sentence｜> $A <｜begin▁of▁sentence｜>:1 $B:1",
                "<｜begin▁of▁sentence｜>",
            ),
            further=[
                *plain(*NEVER_IN_UTF8, normalized=True),
                *special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", normalized=True),
                *plain("<｜fim▁hole｜>", "<|User|>", normalized=True),
                *special("<|EOT|>", normalized=True),
            ],
            without=NEVER_IN_UTF8,
        ),
        "smollm2, starcoder2, granite": Family(
            bytes_bpe,
            pre_tokenizer=sequence(pre_tokenizers.Digits(individual_digits=True), byte_level()),
            decoder=BYTE_DECODER,
            tokens=special("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<fim_prefix>", "<file_sep>"),
        ),
        "o200k (phi-4-mini)": Family(
            bytes_bpe,
            pre_tokenizer=sequence(split(O200K, "removed", True), byte_level(regex=False)),
            decoder=BYTE_DECODER,
            post_processor=processors.ByteLevel(trim_offsets=False),
            further=[
                *special("<|endoftext|>", "<|endofprompt|>"),
                *special("<|assistant|>", "<|end|>", rstrip=True),
                *plain("<|tool|>", rstrip=True),
            ],
        ),
        "gemma 2, gemma 3": Family(
            fallback_bpe,
            normalizer=normalizers.Replace(" ", MARK),
            pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"),
            decoder=spaces_back(strip=False),
            post_processor=template("<bos> $A", "<bos> $A <bos>:1 $B:1", "<bos>"),
            tokens=[
                *special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"),
                *plain("\n\n", "\n\n\n", MARK * 2, MARK * 3, "<table>"),
            ],
        ),
        "llama 2, codellama": Family(
            fallback_bpe,
            normalizer=with_prefix,
            decoder=spaces_back(strip=True),
            post_processor=llama_template,
            tokens=llama,
            further=special(f"{MARK}<PRE>", f"{MARK}<MID>", f"{MARK}<EOT>"),
        ),
        "llama 2 (first files)": Family(
            fallback_bpe,
            normalizer=with_prefix,
            decoder=spaces_back(strip=True),
            post_processor=llama_template,
            tokens=special("<unk>", "<s>", "</s>", normalized=True),
        ),
        "llama 2 (legacy off)": Family(
            fallback_bpe,
            pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
            decoder=spaces_back(strip=True),
            post_processor=llama_template,
            tokens=llama,
        ),
        "opencoder": Family(
            fallback_bpe,
            normalizer=normalizers.Replace(" ", MARK),
            pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never", split=False),
            decoder=spaces_back(strip=False),
            tokens=[*llama, *special("<|im_start|>", "<|im_end|>")],
        ),
        "phi-3": Family(
            fallback_bpe,
            normalizer=with_prefix,
            decoder=spaces_back(strip=True),
            post_processor=template("$A", "$A $B:1"),
            tokens=[*special("<unk>", "<s>"), *plain("</s>", rstrip=True)],
            further=[*special("<|endoftext|>"), *special("<|assistant|>", "<|end|>", "<|user|>", rstrip=True)],
        ),
        "t5, flan-t5": Family(
            "Unigram",
            normalizer=nmt_nfkc(),
            pre_tokenizer=t5_words,
            decoder=decoders.Metaspace(),
            post_processor=template("$A </s>", "$A </s> $B:1 </s>:1", "</s>"),
            tokens=special("<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in reversed(range(4)))),
        ),
        "xlm-roberta": Family(
            "Unigram",
            normalizer=normalizers.Sequence([nmt_nfkc(), normalizers.Replace(Regex(" {2,}"), " ")]),
            pre_tokenizer=sequence(pre_tokenizers.Metaspace()),
            decoder=decoders.Metaspace(),
            post_processor=template("<s> $A </s>", "<s> $A </s> </s> $B </s>", "<s>", "</s>"),
            tokens=[*special("<s>", "<pad>", "</s>", "<unk>"), *special("<mask>", lstrip=True)],
        ),
        "spm converter": Family(
            "Unigram",
            normalizer=normalizers.Sequence(
                [nmt_nfkc(), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), MARK)]
            ),
            pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never"),
            decoder=decoders.Metaspace(prepend_scheme="never"),
            options={"byte_fallback": True},
            tokens=special("<unk>", "<s>", "</s>"),
        ),
        "uncased unigram": Family(
            "Unigram",
            normalizer=normalizers.Sequence(
                [normalizers.Replace("``", '"'), normalizers.NFKD(), normalizers.Lowercase(), normalizers.Strip()]
            ),
            pre_tokenizer=pre_tokenizers.Metaspace(),
            decoder=decoders.Metaspace(),
            tokens=[
                *special("<unk>", "[CLS]"),
                *plain("\u00c5ngstrom", normalized=True),
                *plain("Go", single_word=True),
            ],
        ),
    }
