"""A peft LoRA adapter becomes part of a bundle, for models that share the bundle's weights and differ in adapters."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .architecture import decoder_config
from .bundle import ADAPTER, ADAPTER_WEIGHTS, ADAPTERS, FORMAT, base_digest, new_bundle, verify, write_manifest
from .bundle_source import BundleSource
from .errors import ToolkitError, UnsupportedError
from .export import head_of, prompts_of, version
from .folder import model_card
from .judging import JudgeWording, wording_of
from .lora import AdapterSource
from .program import DecoderConfig
from .reference import Reference
from .selftest import self_test
from .tensors import check, checkpoint_rows, parts
from .text import Text
from .weights import write_weights

HEAD = "lm_head"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def adapt(
    bundle: str | Path,
    adapter: str | Path,
    *,
    name: str | None = None,
    license: str | None = None,
    judge: JudgeWording | None = None,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Puts a peft LoRA folder into a bundle as ``adapters/NAME`` and returns that folder.

    The bundle's own files stay as they are. ``name`` is the adapter's folder's by default; ``judge`` says how it is
    asked, as for `export`; what it leaves at its default is taken from the folder's ``judge.json``. An existing adapter
    is refused unless ``force``. Raises ToolkitError (or a kind of it) where the adapter is not plain LoRA on linear
    layers or does not fit the bundle; nothing is left behind then.
    """
    tell = progress or (lambda stage, done: None)
    folder = Path(adapter)
    judge = wording_of(folder, judge or JudgeWording())
    name = folder.resolve().name if name is None else name
    if not NAME.fullmatch(name):
        raise ToolkitError(f"{name!r} is no adapter's name: letters, digits, '.', '-' and '_', a letter or digit first")
    tell("open", 0.0)
    base = BundleSource(bundle)
    if base.manifest["kind"] != "decoder":
        raise UnsupportedError(
            f"{base.name} is an {base.manifest['kind']}; adapters are for decoders, merge it with peft"
        )
    verify(base.folder)
    destination = base.folder / ADAPTERS / name
    source = Unmerged(base, folder)
    config = decoder_config(source.config)
    check(source, parts(config))
    tokens = Text(base.tokenizer)
    head = head_of(source, config, judge)
    prompts, judging = prompts_of(source, tokens, head, judge)
    with new_bundle(destination, force=force, manifest=ADAPTER) as made:
        tell("weights", 0.1)
        weights = adapter_tensors(source, config)
        layout = {key: (tensor.dtype, tuple(tensor.shape)) for key, tensor in weights.items()}
        write_weights(made / ADAPTER_WEIGHTS, layout, ((key, 0, tensor) for key, tensor in weights.items()))
        tell("self-test", 0.2)
        reference = AdaptedReference(source, base.precision)
        cases = self_test(reference, tokens, prompts, head, judging, base.precision)
        manifest = {
            "format": FORMAT,
            "name": name,
            "base": {"name": base.name, "digest": base_digest(base.manifest)},
            "prompts": {key: prompt for key, prompt in prompts.items() if key == "judge"},
            "head": head,
            "judge": judging,
            "selftest": cases,
            "lora": settings_of(source),
            "provenance": {
                "source": folder.resolve().name,
                "license": license or model_card(folder).get("license") or "unknown",
                "created_by": f"gavel {version()}",
                "base": source.settings.get("base_model_name_or_path"),
            },
        }
        write_manifest(made, manifest, [ADAPTER_WEIGHTS], ADAPTER)
    tell("done", 1.0)
    return destination


def adapter_tensors(source: Unmerged, config: DecoderConfig) -> dict[str, torch.Tensor]:
    """The adapter under the program's names, in the form `program` describes."""
    found = {}
    for stored, part in parts(config).items():
        pairs = {piece: source.low_rank(piece) for piece in part.pieces}
        if not any(pairs.values()):
            continue
        layer = stored.removesuffix(".weight")
        rows_a = []
        for i, (piece, (outputs, inputs)) in enumerate(part.pieces.items()):
            a, b = pairs[piece] or (torch.empty(0, inputs), torch.empty(outputs, 0))
            rows_a.append(a)
            found[f"{layer}.lora_b.{i}"] = b
        found[f"{layer}.lora_a"] = torch.cat(rows_a)
    if source.brings_head:
        found["score.weight"] = checkpoint_rows(source, "score.weight")
    return found


def settings_of(source: Unmerged) -> dict[str, Any]:
    """What peft trained, for whoever looks at the adapter."""
    said = source.settings
    targets = {name.split(".")[-2] for name in source.targets}
    return {
        "rank": said["r"],
        "alpha": said["lora_alpha"],
        "rank_stabilised": bool(said.get("use_rslora")),
        "patterns": bool(said.get("rank_pattern") or said.get("alpha_pattern")),
        "targets": sorted(targets),
    }


class Unmerged(AdapterSource):
    """The base's tensors as they are, with the adapter's head."""

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        return self.unmerged(name, first, last)


class AdaptedReference(Reference):
    """The reference, rounded as the base is, with the adapter on it, which is not."""

    def __init__(self, source: Unmerged, precision: str) -> None:
        super().__init__(source, precision)
        self._pairs = {name.removesuffix(".weight"): source.low_rank(name) for name in source.targets}
        for name, pair in self._pairs.items():
            if name != HEAD:
                add_low_rank(self._model.get_submodule(name), *pair)

    def _products(self, states: torch.Tensor) -> torch.Tensor:
        products = super()._products(states)
        if HEAD not in self._pairs:
            return products
        a, b = self._pairs[HEAD]
        return products + states @ a.T @ b.T


def add_low_rank(linear: torch.nn.Module, a: torch.Tensor, b: torch.Tensor) -> None:
    """Adds B (A x) to what comes out of a layer, for its x before anything rounds it."""
    seen: list[torch.Tensor] = []
    linear.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]), prepend=True)
    linear.register_forward_hook(lambda module, inputs, out: out + seen.pop() @ a.T @ b.T)
