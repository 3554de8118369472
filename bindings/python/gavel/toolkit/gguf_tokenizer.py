"""A GGUF file's tokenizer as the file its model was published with: tokenizer.json, or a SentencePiece model.

GGUF keeps vocabulary, merges and token types, and of the rest only the pre-tokenizer's name; what the name stands for
(normaliser, splits) is written out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .errors import ToolkitError, UnsupportedError
from .sources import Special, TokenizerFile
from .text import CONTROL, NORMAL, UNUSED, USER_DEFINED

if TYPE_CHECKING:
    from .gguf_file import GgufSource

WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def byte_level(use_regex: bool) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def qwen2() -> list[Any]:
    return [split(f"{CONTRACTIONS}|{WORDS}|\\p{{N}}|{REST}"), byte_level(False)]


def llama3() -> list[Any]:
    return [split(f"{CONTRACTIONS}|{WORDS}|\\p{{N}}{{1,3}}|{REST}"), byte_level(False)]


def o200k() -> list[Any]:
    upper, lower = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
    before = r"[^\r\n\p{L}\p{N}]?"
    words = f"{before}[{upper}]*[{lower}]+{CONTRACTIONS}?|{before}[{upper}]+[{lower}]*{CONTRACTIONS}?"
    rest = REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)
    return [split(f"{words}|\\p{{N}}{{1,3}}|{rest}"), byte_level(False)]


def starcoder() -> list[Any]:
    return [pre_tokenizers.Digits(individual_digits=True), byte_level(True)]


def gpt2() -> list[Any]:
    return [byte_level(True)]


def deepseek_coder() -> list[Any]:
    patterns = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
    return [*map(split, patterns), pre_tokenizers.Digits(individual_digits=True), byte_level(False)]


# What llama.cpp's names stand for in the families' own tokenizer.json files.
PRE_TOKENIZERS = {
    "qwen2": qwen2,
    "deepseek-r1-qwen": qwen2,
    "smollm": starcoder,
    "starcoder": starcoder,
    "refact": starcoder,  # Granite-code too
    "gpt-4o": o200k,  # Phi-4-mini
    "llama-bpe": llama3,
    "llama3": llama3,
    "llama-v3": llama3,
    "deepseek-coder": deepseek_coder,
    "gpt-2": gpt2,
}
NFC = ("qwen2", "deepseek-r1-qwen")
WHOLE_WORDS_FIRST = ("llama-bpe", "llama3", "llama-v3")  # a word in the vocabulary is taken before any merge
ADDS_BOS = (*WHOLE_WORDS_FIRST, "deepseek-coder")  # where the file does not say


def tokenizer_file(source: GgufSource) -> TokenizerFile:
    model = source.field("tokenizer.ggml.model")
    if model == "gpt2":
        return TokenizerFile("tokenizer.json", byte_level_bpe(source).encode())
    if model == "llama":
        special = special_tokens(source)
        bos = source.field("tokenizer.ggml.bos_token_id", None)
        return TokenizerFile("tokenizer.model", sentencepiece_model(source), ((bos,) if special.adds_bos else (), ()))
    raise UnsupportedError(f"{source.path.name}: GGUF tokenizer {model!r} is not supported; gpt2 and llama are")


def byte_level_bpe(source: GgufSource) -> str:
    name = source.field("tokenizer.ggml.pre", "default")
    if name not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise UnsupportedError(f"{source.path.name}: GGUF pre-tokenizer {name!r} is not supported; known are {known}")
    tokens = source.field("tokenizer.ggml.tokens")
    types = source.field("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    if len(types) != len(tokens):
        raise ToolkitError(f"{source.path.name}: {len(tokens)} tokens but {len(types)} token types")
    # Padding of the embedding is no token, and what is added behind the vocabulary is none of its words.
    size = max((i for i, kind in enumerate(types) if kind != UNUSED), default=-1) + 1
    words = max((i for i, kind in enumerate(types) if kind == NORMAL), default=-1) + 1
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens[:words])},
            merges=[tuple(merge.split(" ", 1)) for merge in source.field("tokenizer.ggml.merges")],
            ignore_merges=name in WHOLE_WORDS_FIRST,
        )
    )
    if name in NFC:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRE_TOKENIZERS[name]())
    tokenizer.decoder = decoders.ByteLevel()
    special = special_tokens(source)
    if special.adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{special.bos} $A",
            pair=f"{special.bos} $A {special.bos}:1 $B:1",
            special_tokens=[(special.bos, source.field("tokenizer.ggml.bos_token_id"))],
        )
    tokenizer.add_tokens(
        [
            AddedToken(tokens[i], normalized=False, special=types[i] != USER_DEFINED)
            for i in range(size)
            if i >= words or types[i] in (CONTROL, USER_DEFINED)
        ]
    )
    moved = [tokens[i] for i in range(size) if tokenizer.token_to_id(tokens[i]) != i]
    if moved:
        raise ToolkitError(f"{source.path.name}: tokens named twice: {', '.join(moved[:4])}; the file is damaged")
    return tokenizer.to_str()


def sentencepiece_model(source: GgufSource) -> bytes:
    from sentencepiece import sentencepiece_model_pb2

    tokens, scores = source.field("tokenizer.ggml.tokens"), source.field("tokenizer.ggml.scores")
    types = source.field("tokenizer.ggml.token_type")
    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = 2  # BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(tokens)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = bool(source.field("tokenizer.ggml.add_space_prefix", True))
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    for token, score, kind in zip(tokens, scores, types, strict=True):
        model.pieces.add(piece=token, score=float(score), type=int(kind))
    return model.SerializeToString()


def special_tokens(source: GgufSource) -> Special:
    tokens = source.field("tokenizer.ggml.tokens")
    ids = {name: source.field(f"tokenizer.ggml.{key}_token_id", None) for name, key in NAMED.items()}
    written = {name: tokens[i] for name, i in ids.items() if i is not None}
    default = (
        source.field("tokenizer.ggml.model") == "llama" or source.field("tokenizer.ggml.pre", "default") in ADDS_BOS
    )
    adds = bool(source.field("tokenizer.ggml.add_bos_token", default))
    eos = () if ids["eos_token"] is None else (int(ids["eos_token"]),)
    return Special(written.get("bos_token"), adds and "bos_token" in written, eos, written)


NAMED = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
