"""What of a tokenizer.json Gavel runs; all else is refused by name, never approximated.

The library has the same table (lib/text/known_parts.cpp) and the same rules, and refuses what they leave out too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..errors import GavelError, Unsupported
from .errors import ToolkitError, UnsupportedError

BYTE_LEVEL = ("add_prefix_space", "trim_offsets", "use_regex")
METASPACE = ("replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")

# For each part, its types and the members that say how.
PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "normalizer": {
        "Sequence": ("normalizers",),
        "NFC": (),
        "NFD": (),
        "NFKC": (),
        "NFKD": (),
        "Lowercase": (),
        "Strip": ("strip_left", "strip_right"),
        "Prepend": ("prepend",),
        "Replace": ("pattern", "content"),
        "Precompiled": ("precompiled_charsmap",),
    },
    "pre_tokenizer": {
        "Sequence": ("pretokenizers",),
        "ByteLevel": BYTE_LEVEL,
        "Digits": ("individual_digits",),
        "Metaspace": METASPACE,
        "Split": ("pattern", "behavior", "invert"),
        "WhitespaceSplit": (),
    },
    "decoder": {
        "Sequence": ("decoders",),
        "ByteFallback": (),
        "ByteLevel": BYTE_LEVEL,
        "Fuse": (),
        "Metaspace": METASPACE,
        "Replace": ("pattern", "content"),
        "Strip": ("content", "start", "stop"),
    },
    "post_processor": {
        "Sequence": ("processors",),
        "BertProcessing": ("sep", "cls"),
        "ByteLevel": BYTE_LEVEL,
        "RobertaProcessing": ("sep", "cls", "trim_offsets", "add_prefix_space"),
        "TemplateProcessing": ("single", "pair", "special_tokens"),
    },
    "model": {
        "BPE": (
            "vocab",
            "merges",
            "unk_token",
            "fuse_unk",
            "byte_fallback",
            "ignore_merges",
            "dropout",
            "continuing_subword_prefix",
            "end_of_word_suffix",
        ),
        "Unigram": ("vocab", "unk_id", "byte_fallback"),
    },
}
SEQUENCES = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "decoder": "decoders",
    "post_processor": "processors",
}
BESIDE = ("version", "truncation", "padding", "added_tokens")
DECODER_ORDER = ("Replace", "ByteFallback", "Fuse", "Strip")


def check(description: Mapping[str, Any]) -> None:
    """Raises UnsupportedError naming the part of a parsed tokenizer.json that Gavel does not run, and what it does."""
    for key in description:
        if key not in PARTS and key not in BESIDE:
            refuse("part", key, [*PARTS, *BESIDE])
    if description.get("version", "1.0") != "1.0":
        refuse("format version", str(description["version"]), ["1.0"])
    steps = {part: list(flat(part, description.get(part))) for part in SEQUENCES}
    for part, rules in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer)):
        for step in steps[part]:
            rules(step)
    kinds = [step["type"] for step in steps["pre_tokenizer"]]
    if "ByteLevel" in kinds[:-1]:
        refuse("pre_tokenizer", f"{kinds[kinds.index('ByteLevel') + 1]} after ByteLevel", ["ByteLevel as the last"])
    decoder(steps["decoder"], byte_level="ByteLevel" in kinds)
    by_start = any(step.get("prepend_scheme") == "first" for step in steps["pre_tokenizer"])
    if by_start and steps["normalizer"]:
        refuse("pre_tokenizer", "Metaspace with prepend_scheme first after a normalizer", ["it without a normalizer"])
    model(description.get("model") or {}, byte_level="ByteLevel" in kinds)


def flat(part: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a part, one by one, each of a known type with known members."""
    if value is None:
        return
    kind, known = value.get("type"), PARTS[part]
    if kind not in known:
        refuse(part, str(kind), list(known))
    for member in value:
        if member != "type" and member not in known[kind]:
            refuse(part, f"{kind} with {member}", [f"{kind} with {', '.join(known[kind]) or 'nothing'}"])
    if kind == "Sequence":
        for inner in value[SEQUENCES[part]]:
            yield from flat(part, inner)
    else:
        yield value


def normalizer(step: Mapping[str, Any]) -> None:
    if step["type"] == "Replace" and step["pattern"].get("String") == "":
        refuse("normalizer", "Replace of the empty text", ["Replace of a text or a pattern"])


def pre_tokenizer(step: Mapping[str, Any]) -> None:
    behaviors = ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")
    if step["type"] == "Split" and step["behavior"] not in behaviors:
        refuse("pre_tokenizer", f"Split with behavior {step['behavior']}", list(behaviors))
    if step["type"] == "Metaspace":
        metaspace("pre_tokenizer", step)


def metaspace(part: str, step: Mapping[str, Any]) -> None:
    scheme, schemes = step.get("prepend_scheme", "always"), ["always", "first", "never"]
    if scheme not in schemes:
        refuse(part, f"Metaspace with prepend_scheme {scheme}", schemes)
    if not step.get("add_prefix_space", True) and scheme != "never":
        refuse(part, f"Metaspace with add_prefix_space false and prepend_scheme {scheme}", ["never"])
    if not step["replacement"]:
        refuse(part, "Metaspace without a replacement", ["a character"])


def decoder(steps: list[Mapping[str, Any]], *, byte_level: bool) -> None:
    """ByteLevel (where the pre-tokenizer is) or Metaspace alone, or steps in the order of models with byte fallback."""
    kinds = [step["type"] for step in steps]
    shapes = ["ByteLevel", "Metaspace", f"a Sequence of {', '.join(DECODER_ORDER)} in this order"]
    if not kinds:
        refuse("decoder", "null (tokens joined by spaces)", shapes)
    if (kinds == ["ByteLevel"]) != byte_level:
        refuse("decoder", f"{', '.join(kinds)} (ByteLevel in it or in the pre_tokenizer only)", shapes)
    if kinds == ["Metaspace"]:
        return metaspace("decoder", steps[0])
    if byte_level:
        return
    order = [DECODER_ORDER.index(kind) if kind in DECODER_ORDER else -1 for kind in kinds]
    strips = [step for step in steps if step["type"] == "Strip"]
    if -1 in order or order != sorted(order) or kinds.count("Fuse") < len(strips) or kinds.count("Fuse") > 1:
        refuse("decoder", f"Sequence of {', '.join(kinds)}", shapes)
    if len(strips) > 1 or any(step["stop"] != 0 for step in strips):
        refuse("decoder", "Strip at the end of the text, or a second one", ["one Strip at the start"])
    for step in steps:
        if step["type"] == "Replace" and not step["pattern"].get("String"):
            refuse("decoder", "Replace whose pattern is a Regex or empty", ["Replace of a text"])


def model(value: Mapping[str, Any], *, byte_level: bool) -> None:
    # Old files name no type: then it is what the vocabulary is written for.
    kind = value.get("type") or ("Unigram" if isinstance(value.get("vocab"), list) else "BPE")
    known = PARTS["model"]
    if kind not in known:
        refuse("model", str(kind), list(known))
    for option in value:
        if option != "type" and option not in known[kind]:
            refuse("model option", option, list(known[kind]))
    if kind == "Unigram":
        if byte_level:
            refuse("model", "Unigram with ByteLevel", ["BPE with ByteLevel"])
        if value.get("unk_id") is None:
            refuse("model option", "unk_id null", ["the unknown token's id"])
        return
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if value.get(option):
            refuse("model option", option, [f"{option} null"])
    if value.get("byte_fallback") and byte_level:
        refuse("model option", "byte_fallback with ByteLevel", ["one of them"])


def refuse(part: str, found: str, supported: list[str]) -> NoReturn:
    raise UnsupportedError(f"tokenizer.json: {part} {found} is not supported; supported: {', '.join(supported)}")


def check_opens(name: str, data: bytes) -> None:
    """Raises ToolkitError where the library itself does not open a tokenizer: what `check` cannot see are patterns
    whose meaning the library's engine does not share, and vocabularies that contradict themselves."""
    from ..tokenizer import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            Tokenizer.open(path)
        except Unsupported as error:
            raise UnsupportedError(f"the tokenizer cannot be exported: {error}") from error
        except GavelError as error:
            raise ToolkitError(f"the tokenizer cannot be exported: {error}") from error
