"""How an encoder is asked: task and candidate as its tokenizer writes a pair, or a wording of its own."""

from __future__ import annotations

from .encoder_architecture import model_class
from .errors import ToolkitError
from .prompts import PLACEHOLDER, Segments, compile_wording
from .sources import Source
from .text import Text

# RankEF's own (Sun et al., arXiv 2408.13976).
RANKEF = "<CLASSIFICATION>\nQUESTION:\n{prompt}\nCODE:\n{code}\nResult:\n"
RANKEF_FEEDBACK = "<GENERATION>\nQUESTION:\n{prompt}\nCODE:\n{code}\nEVAL_MESSAGE:\n"


def special(ids: list[int]) -> Segments:
    return [{"token": i} for i in ids]


def pair(tokens: Text) -> Segments:
    """Task and candidate as the tokenizer's post-processor writes a pair."""
    before, between, behind = tokens.pair()
    return [*special(before), {"slot": "prompt"}, *special(between), {"slot": "code"}, *special(behind)]


def worded(wording: str, tokens: Text) -> Segments:
    """A wording as one text between the tokens the post-processor writes around it."""
    if not {"prompt", "code"} <= set(PLACEHOLDER.findall(wording)):
        raise ToolkitError(f"the wording {wording!r} must hold {{prompt}} and {{code}}; {{language}} is allowed too")
    before, behind = tokens.single()
    return [*special(before), *compile_wording(wording, tokens, None), *special(behind)]


def encoder_prompts(
    source: Source, tokens: Text, wording: str | None, feedback: str | None, *, writes: bool
) -> dict[str, Segments]:
    """The prompts "judge" and, where the model `writes`, "feedback"."""
    if feedback is not None and not writes:
        raise ToolkitError(f"{source.origin} has no decoder that writes, so it takes no wording for feedback")
    rankef = model_class(source.config) in ("T5ForConditionalGeneration", "T5EncoderModel")
    if wording is None and rankef:
        wording = RANKEF
    prompts = {"judge": worded(wording, tokens) if wording is not None else pair(tokens)}
    if writes:
        prompts["feedback"] = worded(feedback if feedback is not None else RANKEF_FEEDBACK, tokens)
    read = -1 if model_class(source.config) == "T5ForSequenceClassification" else 0
    for name, prompt in prompts.items():
        if "token" not in prompt[read]:
            raise ToolkitError(
                f"{tokens.file.name} writes no special token where the model's head reads the prompt {name!r}; "
                "give the checkpoint its own tokenizer.json, with its post-processor"
            )
    return prompts
