"""A checkpoint becomes a bundle."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .architecture import decoder_config
from .bundle import FORMAT, PROGRAM, WEIGHTS, new_bundle, write_manifest
from .bundle_source import checkpoint_of
from .encoder_architecture import is_encoder
from .encoder_export import EncoderExport
from .errors import ToolkitError, UnsupportedError
from .judging import JudgeWording, classifier_head, judge_rule, label_names, wording_of
from .program import PRECISIONS, DecoderConfig, build
from .prompts import (
    CHAT,
    CHAT_PLAIN,
    JUDGE,
    JUDGE_PLAIN,
    NO,
    PLACEHOLDER,
    YES,
    ChatTemplate,
    Segments,
    compile_wording,
    completion,
    plain,
    spellings,
    verdict_tokens,
)
from .reference import Reference
from .selftest import self_test
from .sources import END_TOKENS, Source, open_source
from .tensors import check, decoder_chunks, layout, parts
from .text import Text
from .tokenizer_parts import check_opens
from .weights import Chunk, Layout, size_of, write_weights

Progress = Callable[[str, float], None]


def export(
    source: str | Path,
    destination: str | Path | None = None,
    *,
    precision: str = "int8",
    adapter: str | Path | None = None,
    name: str | None = None,
    license: str | None = None,
    judge: JudgeWording | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Exports a checkpoint to a bundle folder and returns its path.

    ``source`` is a Hugging Face folder, a ``.gguf`` file or a Hub id; ``adapter`` a peft LoRA folder merged into it;
    ``destination`` the bundle's folder, by default ``NAME.gavel`` here. An existing destination is refused unless
    ``force``. What ``judge`` leaves at its default is taken from the ``judge.json`` of the adapter or the source, where
    training left one. ``progress`` is called with the step's name and how much of the whole is done, from 0 to 1.

    Raises ToolkitError (or a kind of it) saying what is wrong and what to do; nothing is left behind then.
    """
    tell = progress or (lambda stage, done: None)
    judge = judge or JudgeWording()
    if precision not in PRECISIONS:
        raise ToolkitError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    tell("open", 0.0)
    checkpoint = open_source(source)
    judge = wording_of(Path(source if adapter is None else adapter), judge)
    if adapter is not None and is_encoder(checkpoint.config):
        raise UnsupportedError(
            "an adapter on an encoder is not supported; merge it with peft's merge_and_unload and export the result"
        )
    if adapter is not None:
        from .lora import AdapterSource

        checkpoint = AdapterSource(checkpoint, Path(adapter))
    tokens = Text(checkpoint.tokenizer)
    check_opens(checkpoint.tokenizer.name, checkpoint.tokenizer.data)
    kind = EncoderExport if is_encoder(checkpoint.config) else DecoderExport
    made = kind(checkpoint, tokens, precision, judge)
    if tokens.size > made.config.vocabulary:
        raise ToolkitError(
            f"{checkpoint.tokenizer.name} knows {tokens.size} tokens, the model {made.config.vocabulary}: "
            "the tokenizer belongs to another model"
        )
    name = name or f"{checkpoint.name}-{precision}"
    destination = Path(destination) if destination is not None else Path(f"{name}.gavel")
    tell("program", 0.05)
    program = program_bytes(made.build)
    with new_bundle(destination, force=force) as folder:
        (folder / PROGRAM).write_bytes(program)
        (folder / checkpoint.tokenizer.name).write_bytes(checkpoint.tokenizer.data)
        write_all(folder / WEIGHTS, made, tell)
        tell("self-test", 0.7)
        cases = made.self_test()
        tell("hash", 0.95)
        manifest = {
            "format": FORMAT,
            "name": name,
            "kind": made.kind,
            "architecture": made.architecture,
            "precision": precision,
            "tokenizer": {"file": checkpoint.tokenizer.name, "type": tokens.type, "size": tokens.size},
            "tokens": made.special,
            "prompts": made.prompts,
            "head": made.head,
            "judge": made.judging,
            "probe": None,
            "selftest": cases,
            "provenance": {
                "source": checkpoint.origin,
                "license": license or checkpoint.license or "unknown",
                "created_by": f"gavel {version()}",
                "base": checkpoint.base,
            },
            "checkpoint": checkpoint_of(checkpoint),
        }
        write_manifest(folder, manifest, [PROGRAM, WEIGHTS, checkpoint.tokenizer.name])
    tell("done", 1.0)
    return destination


class DecoderExport:
    """What `export` writes of a decoder; `EncoderExport` has the same of an encoder."""

    kind = "decoder"

    def __init__(self, source: Source, tokens: Text, precision: str, judge: JudgeWording) -> None:
        self.source, self.tokens, self.precision = source, tokens, precision
        self.config = decoder_config(source.config)
        check(source, parts(self.config))
        if judge.feedback_prompt is not None or judge.truncate is not None:
            raise ToolkitError(f"{source.origin} is a decoder; a wording for feedback and truncation are for encoders")
        self.architecture = architecture_of(self.config)
        self.head = head_of(source, self.config, judge)
        self.prompts, self.judging = prompts_of(source, tokens, self.head, judge)
        self.special = {"bos": bos_of(source, tokens), "stop": stop_tokens(source, tokens)}

    def build(self) -> torch.jit.ScriptModule:
        return build(self.config, self.precision)

    def layout(self) -> Layout:
        return layout(self.config, self.precision)

    def chunks(self) -> Iterator[Chunk]:
        return decoder_chunks(self.source, self.precision)

    def self_test(self) -> list[dict[str, Any]]:
        reference = Reference(self.source, self.precision)
        return self_test(reference, self.tokens, self.prompts, self.head, self.judging, self.precision)


def architecture_of(config: DecoderConfig) -> dict[str, Any]:
    """What the engine and a reader need to know; the rest is in the program."""
    facts = (
        "family",
        "layers",
        "hidden",
        "heads",
        "kv_heads",
        "head_dim",
        "intermediate",
        "vocabulary",
        "context",
        "rotary_dim",
        "rope_switch",
        "windows",
        "gated",
        "tied",
    )
    return {key: value for key, value in asdict(config).items() if key in facts}


def head_of(source: Source, config: DecoderConfig, judge: JudgeWording) -> dict[str, Any]:
    if not config.labels:
        if judge.positive_label:
            raise ToolkitError(f"{source.origin} is a language model; it has no label {judge.positive_label!r}")
        return {"type": "lm"}
    if judge.positive or judge.negative:
        raise ToolkitError(f"{source.origin} is a classifier; verbalizers are for language models")
    return classifier_head(label_names(source.config, config.labels), judge.positive_label)


def prompts_of(
    source: Source, tokens: Text, head: dict[str, Any], judge: JudgeWording
) -> tuple[dict[str, Segments], dict[str, Any] | None]:
    """The bundle's prompts, and its judge: none where no spelling of yes and no is a single token."""
    chat = ChatTemplate(source.chat_template, source.special) if source.chat_template else None
    prompts = {"completion": completion(tokens, source.special)}
    prompts["chat"] = compile_wording(CHAT, tokens, chat) if chat else plain(CHAT_PLAIN, tokens, source.special)
    wording = judge.prompt
    if wording is not None and not {"prompt", "code"} <= set(PLACEHOLDER.findall(wording)):
        raise ToolkitError("a judge prompt must hold {prompt} and {code}; {language} is allowed too")
    if chat and not judge.plain:
        asked = compile_wording(wording or JUDGE, tokens, chat)
    else:
        asked = plain(wording or JUDGE_PLAIN, tokens, source.special)
    prompts["judge"] = asked
    rule = judge_rule(judge, trained=judge.trained or head["type"] == "classifier")
    if head["type"] == "classifier":
        return prompts, {"type": "classifier"} | rule
    positive, negative = (verbalizers(asked, words, tokens) for words in ((judge.positive, YES), (judge.negative, NO)))
    if set(positive) & set(negative):
        raise ToolkitError("a verbalizer is both positive and negative")
    if not positive or not negative:
        return {key: value for key, value in prompts.items() if key != "judge"}, None
    return prompts, {"type": "verbalizer", "positive": positive, "negative": negative} | rule


def verbalizers(prompt: Segments, words: tuple[Sequence[str], Sequence[str]], tokens: Text) -> list[int]:
    given, default = words
    if given:
        return verdict_tokens(prompt, given, tokens, strict=True)
    return verdict_tokens(prompt, spellings(default), tokens, strict=False)


def bos_of(source: Source, tokens: Text) -> int | None:
    return tokens.id(source.special.bos) if source.special.adds_bos and source.special.bos is not None else None


def stop_tokens(source: Source, tokens: Text) -> list[int]:
    """The end tokens the checkpoint declares, then the well-known ones its tokenizer has as special tokens."""
    declared = [token if isinstance(token, int) else tokens.id(token) for token in source.special.eos]
    known = [tokens.special[token] for token in END_TOKENS if token in tokens.special]
    stop = list(dict.fromkeys(token for token in declared + known if token is not None))
    if not stop:
        raise ToolkitError(f"{source.origin} names no end token; add eos_token_id to its config.json")
    return stop


def program_bytes(build: Callable[[], torch.jit.ScriptModule]) -> bytes:
    """The scripted program. The library is loaded for its operators, which the script names."""
    from .._ffi import library_path

    try:
        torch.ops.load_library(library_path())
    except OSError as error:
        raise ToolkitError(
            f"libgavel cannot be loaded: {error}. Build it with CMake, or name it in GAVEL_LIBRARY"
        ) from error
    buffer = io.BytesIO()
    torch.jit.save(build(), buffer)
    return buffer.getvalue()


def write_all(path: Path, made: DecoderExport | EncoderExport, tell: Progress) -> None:
    wanted = made.layout()
    whole = sum(size_of(*entry) for entry in wanted.values())

    def counted() -> Iterator[Chunk]:
        done = 0
        for name, first, rows in made.chunks():
            yield name, first, rows
            done += rows.nbytes
            tell("weights", 0.1 + 0.6 * done / whole)

    write_weights(path, wanted, counted())


def version() -> str:
    from .._version import __version__

    return __version__
