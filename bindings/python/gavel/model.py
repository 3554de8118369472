"""An opened bundle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from gavel._ffi import Fields, c_string, check, ffi, handle, initialised, lib, read_text, sized
from gavel._handle import Handle
from gavel.tokenizer import Tokenizer


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory a call will need, in bytes."""

    weights: int
    """Mapped or resident weights."""
    prefix: int
    """Keys and values of the shared prompt."""
    own: int
    """Keys and values of all candidates."""
    scratch: int
    """The largest step's activations and logits."""
    total: int


def open_options(device: str, pin: str, verify_weights: bool, self_test: bool) -> Fields:
    """A gavel_open_options."""
    options = Fields(initialised("gavel_open_options"))
    options.c_string("device", device)
    options.c_string("pin", pin)
    options.number("verify_weights", int(verify_weights))
    options.number("self_test", int(self_test))
    return options


class Model(Handle):
    """A loaded bundle: immutable, and shared by any number of generators and judges in any threads."""

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str],
        *,
        device: str = "cpu",
        pin: str = "",
        verify_weights: bool = False,
        self_test: bool = False,
    ) -> Self:
        """Opens a bundle folder. Its program is code and is trusted like a shared library. An adapter's folder,
        BUNDLE/adapters/NAME, opens its bundle and adapts it.

        ``device`` is "cpu", "cuda" or "cuda:N"; ``pin`` the expected ``digest``; ``verify_weights`` hashes the weights
        too (program and tokenizer always are); ``self_test`` runs the bundle's self-test and fails closed.
        """
        options = open_options(device, pin, verify_weights, self_test)
        new = ffi.new("gavel_model **")
        check(lib().gavel_model_open(new, c_string(bundle, "bundle"), options.struct))
        return cls(handle(new, lib().gavel_model_destroy))

    def adapted(self, name_or_folder: str | os.PathLike[str]) -> Self:
        """This model with a LoRA adapter of its bundle's, by name, or of a folder elsewhere, as a path with a separator
        in it. It shares the weights, and may outlive this model; its judge is the adapter's."""
        new = ffi.new("gavel_model **")
        check(lib().gavel_model_adapt(new, self._handle, c_string(name_or_folder, "name_or_folder")))
        return type(self)(handle(new, lib().gavel_model_destroy))

    _TEXTS = ("name", "digest", "tokenizer_digest", "device", "manifest_json")

    @cached_property
    def _info(self) -> dict[str, Any]:
        info = sized("gavel_model_info")
        check(lib().gavel_model_get_info(info, self._handle))
        texts = {name: read_text(getattr(info, name)) for name in self._TEXTS}
        adapters = tuple(read_text(info.adapters[i]) for i in range(info.adapter_count))
        return texts | {"context": info.context, "has_probe": bool(info.has_probe), "adapters": adapters}

    @property
    def name(self) -> str:
        """The bundle's; BUNDLE+ADAPTER where adapted."""
        return self._info["name"]

    @property
    def digest(self) -> str:
        """SHA-256 of gavel.json, or of adapter.json where adapted, hex."""
        return self._info["digest"]

    @property
    def tokenizer_digest(self) -> str:
        """SHA-256 of the tokenizer file, hex."""
        return self._info["tokenizer_digest"]

    @property
    def device(self) -> str:
        return self._info["device"]

    @property
    def context(self) -> int:
        """Longest prompt plus candidate, in tokens."""
        return self._info["context"]

    @property
    def has_probe(self) -> bool:
        return self._info["has_probe"]

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that the bundle held when it was opened."""
        return self._info["adapters"]

    @property
    def manifest_json(self) -> str:
        """gavel.json; where adapted, with adapter.json's parts in it."""
        return self._info["manifest_json"]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The same as objects."""
        return json.loads(self.manifest_json)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        new = ffi.new("gavel_tokenizer **")
        check(lib().gavel_model_get_tokenizer(new, self._handle))
        return Tokenizer(handle(new, lib().gavel_tokenizer_destroy))

    def estimate(self, prompt_tokens: int, candidates: int, max_tokens: int) -> MemoryEstimate:
        """What ``candidates`` continuations of up to ``max_tokens`` after a prompt of ``prompt_tokens`` will take."""
        out = sized("gavel_memory_estimate")
        check(lib().gavel_model_estimate(out, self._handle, prompt_tokens, candidates, max_tokens))
        return MemoryEstimate(out.weights, out.prefix, out.own, out.scratch, out.total)

    def self_test(self) -> None:
        """Runs the bundle's self-test; raises `CorruptBundle` naming the prompt and the largest difference."""
        check(lib().gavel_model_self_test(self._handle))

    def __repr__(self) -> str:
        return "<gavel.Model closed>" if self._cdata is None else f"<gavel.Model {self.name} on {self.device}>"
