"""The same weights in each engine's form, made once and kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LLAMA = "llama-cpp-python==0.3.36"


@dataclass(frozen=True)
class Prepared:
    """Where each engine finds the model."""

    name: str
    folder: Path
    source: Path
    bundle: Path | None = None

    def of(self, engine: str) -> Path:
        if engine == "gavel":
            return gavel_bundle(self)
        if engine == "llama.cpp":
            return made(self.folder / "q8_0.gguf", lambda path: write_q8(self.source, path))
        checkpoint = made(self.folder / "checkpoint", lambda path: write_checkpoint(self.source, path))
        if engine == "transformers":
            return checkpoint
        return made(self.folder / "ctranslate2", lambda path: write_ctranslate2(checkpoint, path))

    def tokenizer(self) -> Path:
        return self.of("transformers") / "tokenizer.json"


def prepare(model: str, folder: Path, bundle: Path | None) -> Prepared:
    """`model` is a name that `gavel pull` knows, or a GGUF file."""
    source = Path(model).expanduser()
    if source.suffix != ".gguf":
        from gavel.toolkit.pull import pull

        source = pull(model)
    elif not source.is_file():
        raise SystemExit(f"{source} is not there; give a GGUF file or a name that gavel pull knows")
    own = folder / source.stem
    own.mkdir(parents=True, exist_ok=True)
    return Prepared(source.stem, own, source, bundle)


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """Made beside, then renamed: what is there is whole."""
    if not path.exists():
        print(f"preparing {path.relative_to(path.parents[1])}", file=sys.stderr, flush=True)
        beside = path.with_name(f".{path.name}.part")
        remove(beside)
        make(beside)
        beside.rename(path)
    return path


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def write_q8(source: Path, target: Path) -> None:
    import llama_cpp as lc

    silent = lc.llama_log_callback(lambda _level, _text, _data: None)
    lc.llama_log_set(silent, None)
    wanted = lc.llama_model_quantize_default_params()
    wanted.ftype = lc.LLAMA_FTYPE_MOSTLY_Q8_0
    wanted.allow_requantize = True
    if lc.llama_model_quantize(str(source).encode(), str(target).encode(), wanted) != 0:
        raise SystemExit(f"llama.cpp cannot quantise {source} to Q8_0")


def write_checkpoint(source: Path, target: Path) -> None:
    """A Hugging Face folder in bf16, as models are published."""
    import torch
    from safetensors.torch import save_file

    from gavel.toolkit.sources import open_source

    checkpoint = open_source(source)
    target.mkdir()
    config = checkpoint.config | {"torch_dtype": "bfloat16"}
    (target / "config.json").write_text(json.dumps(config, indent=1))
    tensors = {name: checkpoint.tensor(name).to(torch.bfloat16).contiguous() for name in checkpoint.shapes()}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    (target / checkpoint.tokenizer.name).write_bytes(checkpoint.tokenizer.data)
    named = checkpoint.special.named
    end = named["eos_token"]
    # CTranslate2 wants a BOS and an unknown token by name also where the model has none.
    special = {key: named.get(key, end) for key in ("bos_token", "eos_token", "unk_token", "pad_token")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | special
    (target / "tokenizer_config.json").write_text(json.dumps(settings))


def write_ctranslate2(checkpoint: Path, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    logging.disable_progress_bar()
    TransformersConverter(str(checkpoint)).convert(str(target), quantization="int8")


def gavel_bundle(model: Prepared) -> Path:
    """The bundle with plain prompts (a task's text alone, then the code), no stop token and no probe, so that its work
    is the peers' to the token. Its program and weights are the bundle's own files."""
    from tokenizers import Tokenizer

    from gavel.toolkit.bundle import MANIFEST, read_manifest, to_json, write_file

    origin = int8_bundle(model)
    target = model.folder / "bench.gavel"
    remove(target)  # the origin may have changed, and links cost nothing
    target.mkdir()
    manifest = read_manifest(origin)
    files = {name: entry for name, entry in manifest["files"].items() if name != "probe.json"}
    for name in files:
        try:
            os.link(origin / name, target / name)
        except OSError:
            shutil.copyfile(origin / name, target / name)
    encode = Tokenizer.from_file(str(model.tokenizer())).encode
    yes, no = (encode(word, add_special_tokens=False).ids[0] for word in ("yes", "no"))
    plain = [{"slot": "prompt"}]
    manifest |= {
        "prompts": manifest["prompts"] | {"completion": plain, "judge": [*plain, {"slot": "code"}]},
        "tokens": manifest["tokens"] | {"stop": []},
        "judge": manifest["judge"] | {"positive": [yes], "negative": [no]},
        "probe": None,
        "selftest": [],
        "files": files,
    }
    write_file(target / MANIFEST, to_json(manifest))
    return target


def int8_bundle(model: Prepared) -> Path:
    from gavel.toolkit.export import export

    known = ROOT / "build/models" / f"{model.name}-int8.gavel"
    if model.bundle or known.is_dir():
        return model.bundle or known
    return made(
        model.folder / f"{model.name}-int8.gavel",
        lambda path: (export(model.source, path, precision="int8"), None)[1],
    )


def repaired_llama(folder: Path) -> Path | None:
    """llama.cpp built once more where it uses AMX, whose kernels GCC's header breaks (tile_load.hpp)."""
    if "amx_int8" not in Path("/proc/cpuinfo").read_text():
        return None
    target = folder / "llama.cpp"
    try:
        return made(target, build_llama)
    except subprocess.CalledProcessError as error:
        print(f"llama.cpp could not be built ({error}); its AMX kernels stay out", file=sys.stderr)
        return None


def build_llama(target: Path) -> None:
    flags = f"-DCMAKE_CXX_FLAGS='-include {HERE / 'tile_load.hpp'}' -DMTMD_BUILD=OFF"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--no-deps",
        "--target",
        str(target),
    ]
    command += ["--no-binary", "llama-cpp-python", "--disable-pip-version-check", LLAMA]
    subprocess.run(command, check=True, env=os.environ | {"CMAKE_ARGS": flags})
