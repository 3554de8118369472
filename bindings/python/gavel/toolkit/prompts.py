"""Chat templates and wordings compiled to plain segments, so that no template engine runs with the model.

A prompt is a list of segments: {"text": …}, {"token": id} or {"slot": name}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from .errors import ToolkitError, UnsupportedError
from .sources import Special
from .text import Text

Segments = list[dict[str, Any]]
SLOTS = ("prompt", "language", "code")
PLACEHOLDER = re.compile(r"\{(" + "|".join(SLOTS) + r")\}")
# A template that writes today's date would make every export another bundle.
DATE = "26 Jul 2024"

CHAT = """Here is a programming task:

{prompt}

Write a complete solution in {language}. Answer with one code block that holds the whole solution and nothing else."""

CHAT_PLAIN = """Task:
{prompt}

A complete solution in {language}, as one code block:
"""

JUDGE = """Below are a programming task in {language} and a candidate implementation.

Task:
```
{prompt}
```

Candidate:
```
{code}
```

Does the candidate implement the task correctly, for every input the task allows? Answer with one word: Yes or No."""

JUDGE_PLAIN = JUDGE + "\n\nAnswer:"

YES, NO = ("Yes", "yes"), ("No", "no")


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template, rendered by transformers."""

    template: str
    special: Special

    def render(self, content: str) -> str:
        """One user message with the assistant's header after it."""
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.BPE()), chat_template=self.template, **self.special.named
        )
        try:
            return tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, date_string=DATE
            )
        except Exception as error:
            raise UnsupportedError(f"the model's chat template fails on a single user message: {error}") from error


def sentinel(slot: str) -> str:
    """A text no template writes: private-use characters around the slot's name."""
    return f"\ue000{slot}\ue001"


def fill_text(wording: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values[match[1]], wording)


def segments_of(text: str, tokens: Text) -> Segments:
    """Rendered text with sentinels, cut at them and at the tokenizer's added tokens."""
    pieces: Segments = []
    added = sorted(tokens.added, key=len, reverse=True)
    marks = [re.escape(sentinel(slot)) for slot in SLOTS] + [re.escape(token) for token in added]
    slots = {sentinel(slot): slot for slot in SLOTS}
    for piece in re.split(f"({'|'.join(marks)})", text):
        if piece in slots:
            pieces.append({"slot": slots[piece]})
        elif piece in tokens.added:
            pieces.append({"token": tokens.added[piece]})
        elif piece:
            pieces.append({"text": piece})
    return pieces


def compile_wording(wording: str, tokens: Text, chat: ChatTemplate | None) -> Segments:
    """The wording, through the chat template where there is one, as segments.

    Slots are recognised by sentinels; that the template leaves any other text in their place alone is then tried."""
    written = re.sub("|".join(re.escape(token) for token in tokens.added) or "(?!)", "", wording)
    if written != wording:
        raise ToolkitError("the wording holds a special token's text; special tokens come from the chat template only")
    render = chat.render if chat else str
    rendered = render(fill_text(wording, {slot: sentinel(slot) for slot in SLOTS}))
    pieces = segments_of(rendered, tokens)
    for probe in ("x", "  two\n\twords \n\n", "<a> & {{ b }} {% c %} 'd' \"e\" \\n", "é\u3000\U0001f600"):
        values = {slot: f"{probe}{slot}{probe}" for slot in SLOTS}
        written = tokens_as_text(pieces, tokens)
        if fill_segments(written, values) != render(fill_text(wording, values)):
            raise UnsupportedError(
                "the model's chat template changes the text of a message (trims or escapes it), so it cannot be "
                "compiled to segments; put words around the wording's slots, or use plain prompts"
            )
    return pieces


def tokens_as_text(segments: Segments, tokens: Text) -> Segments:
    names = {i: text for text, i in tokens.added.items()}
    return [{"text": names[s["token"]]} if "token" in s else s for s in segments]


def fill_segments(segments: Segments, values: Mapping[str, str]) -> str:
    return "".join(values[s["slot"]] if "slot" in s else s["text"] for s in segments)


def encode(segments: Segments, values: Mapping[str, str], tokens: Text) -> list[int]:
    """Ids of a filled prompt: neighbouring texts and slots are joined, then encoded; special tokens are as they are."""
    ids: list[int] = []
    run = ""
    for segment in segments:
        if "token" in segment:
            ids += [*tokens.encode(run), segment["token"]]
            run = ""
        else:
            run += values[segment["slot"]] if "slot" in segment else segment["text"]
    return ids + tokens.encode(run)


def encode_shared(segments: Segments, values: Mapping[str, str], slot: str, tokens: Text) -> list[int]:
    """The same, but cut before the slot, as where what comes before it is read once for many values of the slot."""
    cut = next(i for i, segment in enumerate(segments) if segment.get("slot") == slot)
    return encode(segments[:cut], values, tokens) + encode(segments[cut:], values, tokens)


def completion(tokens: Text, special: Special) -> Segments:
    """A code prefix to continue; BOS first where the model's tokenizer puts it there."""
    start: Segments = []
    if special.adds_bos and special.bos is not None:
        bos = tokens.id(special.bos)
        if bos is None:
            raise ToolkitError(f"the BOS token {special.bos!r} is not in {tokens.file.name}")
        start = [{"token": bos}]
    return [*start, {"slot": "prompt"}]


def plain(wording: str, tokens: Text, special: Special) -> Segments:
    """A wording for models without a chat template, with BOS as in a completion."""
    return completion(tokens, special)[:-1] + compile_wording(wording, tokens, None)


def spellings(words: Sequence[str]) -> list[str]:
    """Each word as it is, and after a space."""
    return [form for word in words for form in (word, f" {word}")]


def verdict_tokens(segments: Segments, words: Sequence[str], tokens: Text, *, strict: bool) -> list[int]:
    """Ids of the words that are one token where the prompt ends. With `strict` every word must be one."""
    tail = segments[-1].get("text", "")
    if "slot" in segments[-1]:
        raise ToolkitError("a judge prompt must end in text after its last slot, so that the verdict comes next")
    before = tokens.encode(tail)
    ids: list[int] = []
    for word in words:
        after = tokens.encode(tail + word)
        if after[:-1] == before and len(after) == len(before) + 1:
            ids.append(after[-1])
        elif strict:
            extra = after[len(before) :] if after[: len(before)] == before else "merged with the prompt's end"
            raise ToolkitError(f"the verbalizer {word!r} is not one token after the prompt ({extra}); choose another")
    return list(dict.fromkeys(ids))
