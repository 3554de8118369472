"""A GGUF file as a checkpoint: metadata to config, tensors dequantised and back under their own names and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from .architecture import refuse, rope_tables
from .bundle import sha256
from .errors import ToolkitError
from .gguf_tokenizer import special_tokens, tokenizer_file
from .models import known_by_hash

GLOBAL = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Two quantised copies of one matrix differ by some per cent; different matrices by more than their own size.
SAME_MATRIX = 0.3


class GgufSource:
    """See `sources.Source`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            reader = gguf.GGUFReader(path)
        except Exception as error:
            raise ToolkitError(f"cannot read {path}: {error}; the download may be incomplete") from error
        self._fields = reader.fields
        self._values: dict[str, Any] = {}
        self.name = path.stem
        digest = sha256(path)
        self.origin = f"{path.name} (GGUF, SHA-256 {digest})"
        known = known_by_hash(digest)
        self.license = self.field("general.license", known.license if known else None)
        self.base = known.base if known else None
        self._family = self.field("general.architecture")
        self._tensors, self._rope_factors = self._named(reader)
        tied = self._tied()
        if tied and "lm_head.weight" in self._tensors:
            # The head is usually stored with more bits; one matrix then serves both, as in the original.
            self._tensors["model.embed_tokens.weight"] = self._tensors.pop("lm_head.weight")
        self.config = self._config(tied)
        self.tokenizer = tokenizer_file(self)
        self.special = special_tokens(self)
        self.chat_template = self.field("tokenizer.chat_template", None)

    def field(self, key: str, *default: Any) -> Any:
        """A metadata value; `{arch}.` stands for the architecture's prefix."""
        key = key.replace("{arch}", self._family) if "{arch}" in key else key
        if key in self._values:
            return self._values[key]
        if key in self._fields:
            self._values[key] = self._fields[key].contents()  # seconds, where it is a vocabulary
            return self._values[key]
        if default:
            return default[0]
        raise ToolkitError(f"{self.path.name} has no metadata {key}; the file is incomplete or of another kind")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(int(n) for n in reversed(t.shape)) for name, t in self._tensors.items()}

    def tensor(self, name: str, first: int | None = None, last: int | None = None) -> torch.Tensor:
        tensor = self._tensors[name]
        if self._family == "llama" and name.rsplit(".", 1)[0].endswith(("q_proj", "k_proj")):
            heads = self.config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            return unpermute(floats(tensor.data, tensor), heads)[first:last]
        return floats(tensor.data[first:last], tensor)

    def _named(self, reader: gguf.GGUFReader) -> tuple[dict[str, Any], torch.Tensor | None]:
        tensors, factors = {}, None
        for tensor in reader.tensors:
            piece = tensor.name.split(".")
            if tensor.name in GLOBAL:
                tensors[GLOBAL[tensor.name]] = tensor
            elif piece[0] == "blk" and len(piece) == 4 and piece[2] in BLOCK:
                tensors[f"model.layers.{piece[1]}.{BLOCK[piece[2]]}.{piece[3]}"] = tensor
            elif tensor.name == "rope_freqs.weight":
                factors = torch.from_numpy(np.array(tensor.data, dtype=np.float32))
            else:
                tensors[tensor.name] = tensor  # an unknown one is refused by name when the tensors are checked
        return tensors, factors

    def _tied(self) -> bool:
        head, embedding = self._tensors.get("lm_head.weight"), self._tensors.get("model.embed_tokens.weight")
        if head is None or embedding is None:
            return True
        rows = np.linspace(0, len(embedding.data) - 1, min(1024, len(embedding.data)), dtype=np.int64)
        a, b = dequantize(head.data[rows], head), dequantize(embedding.data[rows], embedding)
        return bool(np.linalg.norm(a - b) < SAME_MATRIX * np.linalg.norm(a))

    def _config(self, tied: bool) -> dict[str, Any]:
        family = self._family
        if family not in ("llama", "qwen2"):
            raise refuse(f"GGUF architecture {family!r}")
        if self.field("{arch}.expert_count", 0):
            raise refuse(f"a mixture of {self.field('{arch}.expert_count')} experts")
        if self.field("{arch}.attention.sliding_window", 0):
            raise refuse("sliding-window attention")
        heads, hidden = self.field("{arch}.attention.head_count"), self.field("{arch}.embedding_length")
        head_dim = self.field("{arch}.attention.key_length", hidden // heads)
        rotated = self.field("{arch}.rope.dimension_count", head_dim)
        if rotated != head_dim:
            raise refuse(f"rotary positions on {rotated} of {head_dim} dimensions")
        config = {
            "model_type": family,
            "architectures": [f"{family.capitalize()}ForCausalLM"],
            "hidden_size": hidden,
            "intermediate_size": self.field("{arch}.feed_forward_length"),
            "num_hidden_layers": self.field("{arch}.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.field("{arch}.attention.head_count_kv", heads),
            "head_dim": head_dim,
            "vocab_size": self.shapes().get("model.embed_tokens.weight", (0,))[0],
            "max_position_embeddings": self.field("{arch}.context_length"),
            # Written as float32: the shortest decimal that stands for it is what the original config said.
            "rms_norm_eps": float(str(np.float32(self.field("{arch}.attention.layer_norm_rms_epsilon")))),
            "rope_theta": float(self.field("{arch}.rope.freq_base", 10000.0)),
            "tie_word_embeddings": tied,
            "attention_bias": "model.layers.0.self_attn.o_proj.bias" in self._tensors,
            "mlp_bias": "model.layers.0.mlp.down_proj.bias" in self._tensors,
        }
        return config | {"rope_scaling": self._rope_scaling(config)}

    def _rope_scaling(self, config: dict[str, Any]) -> dict[str, Any] | None:
        kind = self.field("{arch}.rope.scaling.type", "none")
        if kind == "linear":
            return {"rope_type": "linear", "factor": float(self.field("{arch}.rope.scaling.factor"))}
        if kind != "none":
            raise refuse(f"rotary scaling {kind!r}")
        if self._rope_factors is None:
            return None
        # GGUF keeps Llama 3's scaling as its outcome, a factor per frequency; find the setting that gives it.
        scaling = {
            "rope_type": "llama3",
            "factor": float(self._rope_factors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
        plain = rope_tables(config | {"rope_scaling": None})[0][0]
        found = rope_tables(config | {"rope_scaling": scaling})[0][0]
        if not torch.allclose(found, plain / self._rope_factors, rtol=1e-4):
            raise refuse("a table of rotary factors other than Llama 3's")
        return scaling


def floats(data: np.ndarray, tensor: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(dequantize(data, tensor), dtype=np.float32))


def dequantize(data: np.ndarray, tensor: Any) -> np.ndarray:
    try:
        return gguf.quants.dequantize(data, tensor.tensor_type)
    except (NotImplementedError, ValueError) as error:
        raise refuse(f"GGUF tensor {tensor.name} of type {tensor.tensor_type.name}") from error


def unpermute(values: torch.Tensor, heads: int) -> torch.Tensor:
    """GGUF files of the Llama family interleave the two halves of each head's query and key rows; put them back."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, half, 2, -1).transpose(1, 2).reshape(values.shape)
