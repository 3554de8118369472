"""An encoder's checkpoint becomes a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from . import encoder_tensors
from .encoder_architecture import encoder_config, labels_of
from .encoder_layers import EncoderConfig
from .encoder_program import build
from .encoder_prompts import encoder_prompts
from .encoder_reference import EncoderReference
from .encoder_selftest import self_test
from .errors import ToolkitError
from .judging import JudgeWording, classifier_head, judge_rule
from .sources import Source
from .text import Text
from .weights import Chunk, Layout

TRUNCATIONS = ("task", "end", "refuse")


class EncoderExport:
    """What `export` writes of an encoder, with or without a decoder."""

    def __init__(self, source: Source, tokens: Text, precision: str, judge: JudgeWording) -> None:
        self.source, self.tokens, self.precision = source, tokens, precision
        self.config = encoder_config(source)
        encoder_tensors.check(source, self.config)
        if judge.positive or judge.negative:
            raise ToolkitError(f"{source.origin} is a classifier; verbalizers are for language models")
        self.kind = "encoder_decoder" if self.config.decoder_layers else "encoder"
        self.architecture = architecture_of(self.config)
        self.head = classifier_head(labels_of(source, self.config), judge.positive_label)
        self.prompts = encoder_prompts(source, tokens, judge.prompt, judge.feedback_prompt, writes=self.config.writes)
        truncate = judge.truncate or "task"
        if truncate not in TRUNCATIONS:
            raise ToolkitError(f"truncate is {truncate!r}, expected one of {', '.join(TRUNCATIONS)}")
        self.judging = {"type": "classifier", "truncate": truncate} | judge_rule(judge, trained=True)
        self.special: dict[str, Any] = {"bos": None, "stop": []}
        if self.config.writes:
            self.special |= {"stop": end_tokens(source), "start": self.config.start}

    def build(self) -> torch.jit.ScriptModule:
        return build(self.config, self.precision)

    def layout(self) -> Layout:
        return encoder_tensors.layout(self.config, self.precision)

    def chunks(self) -> Iterator[Chunk]:
        return encoder_tensors.encoder_chunks(self.source, self.config, self.precision)

    def self_test(self) -> list[dict[str, Any]]:
        reference = EncoderReference(self.source, self.precision)
        return self_test(reference, self.tokens, self.prompts, self.head, self.judging, self.precision)


def architecture_of(config: EncoderConfig) -> dict[str, Any]:
    names = (
        "family",
        "layers",
        "decoder_layers",
        "hidden",
        "heads",
        "head_dim",
        "intermediate",
        "vocabulary",
        "context",
        "gated",
        "tied",
    )
    return {name: getattr(config, name) for name in names}


def end_tokens(source: Source) -> list[int]:
    """What the decoder writes when it is done."""
    ends = list(dict.fromkeys(token for token in source.special.eos if isinstance(token, int)))
    if not ends:
        raise ToolkitError(f"{source.origin} names no end token; add eos_token_id to its config.json")
    return ends
