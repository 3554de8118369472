"""The bundle as a folder: written beside and renamed, read with care, given a probe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import GavelError
from .errors import BundleExistsError, CorruptBundleError, ToolkitError, WriteError

FORMAT = 2
MANIFEST, PROGRAM, WEIGHTS, PROBE = "gavel.json", "program.pt", "weights.safetensors", "probe.json"
KEYS = ("format", "name", "kind", "architecture", "precision", "tokenizer", "tokens", "prompts", "head", "files")
ADAPTERS, ADAPTER, ADAPTER_WEIGHTS = "adapters", "adapter.json", "adapter.safetensors"
ADAPTER_KEYS = ("format", "name", "base", "prompts", "head", "judge", "selftest", "lora", "provenance", "files")

# A list of numbers as json.dumps indents it; the line breaks keep it from matching inside a string.
NUMBERS = re.compile(r"\[\n\s*((?:[\d.eE+-]+,\n\s*)*[\d.eE+-]+)\n\s*\]")


@contextlib.contextmanager
def new_bundle(destination: Path, *, force: bool = False, manifest: str = MANIFEST) -> Iterator[Path]:
    """A folder to fill; it becomes `destination` when the block ends well and vanishes when it does not. What is
    replaced with `force` has to hold a file called `manifest`; its adapters stay, and say so when they are opened where
    they are for another base."""
    if destination.exists() and not force:
        raise BundleExistsError(f"{destination} is already there; choose another name or replace it with --force")
    if destination.exists() and not (destination / manifest).is_file():
        raise BundleExistsError(f"{destination} is there and is no bundle (it has no {manifest}); it is not replaced")
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if destination.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{destination.name}.old.", dir=destination.parent))
            destination.replace(old)
            folder.rename(destination)
            if (old / ADAPTERS).is_dir():
                (old / ADAPTERS).rename(destination / ADAPTERS)
            shutil.rmtree(old)
        else:
            folder.rename(destination)
    except OSError as error:
        if isinstance(error, GavelError):
            raise  # it says what went wrong already
        raise WriteError(f"cannot write {destination}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def to_json(value: dict[str, Any]) -> bytes:
    """Readable JSON: indented, but a list of numbers on one line."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return NUMBERS.sub(lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text).encode() + b"\n"


def write_file(path: Path, data: bytes) -> None:
    """Writes beside, then renames."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def write_manifest(folder: Path, manifest: dict[str, Any], files: list[str], name: str = MANIFEST) -> None:
    """Writes gavel.json, or another by name, with size and hash of the named files."""
    entries = {file: file_entry(folder / file) for file in files}
    write_file(folder / name, to_json(manifest | {"files": entries}))


def read_manifest(bundle: str | Path, name: str = MANIFEST, keys: Sequence[str] = KEYS) -> dict[str, Any]:
    """The manifest of a bundle (or an adapter, by its own name and keys) whose format, names and sizes hold; its hashes
    are not checked (see `verify`)."""
    folder = Path(bundle)
    path = folder / name
    if not path.is_file():
        raise ToolkitError(f"{folder} is no bundle: it has no {name}")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptBundleError(f"{path} is no JSON: {error}; export the bundle again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise CorruptBundleError(f"{path} has format {found!r}; this version reads {FORMAT}")
    missing = [key for key in keys if key not in manifest]
    if missing:
        raise CorruptBundleError(f"{path} lacks {', '.join(missing)}; make it again")
    for name, entry in manifest["files"].items():
        if Path(name).name != name or name in ("", ".", ".."):
            raise CorruptBundleError(f"{path} names {name!r}, which is no file of the bundle's own folder")
        size = (folder / name).stat().st_size if (folder / name).is_file() else None
        if size != entry["bytes"]:
            found = "it is missing" if size is None else f"it has {size} bytes"
            raise CorruptBundleError(f"{folder / name}: {found}, the manifest says {entry['bytes']} bytes")
    return manifest


def verify(bundle: str | Path) -> None:
    """Hashes every file of a bundle against its manifest."""
    folder = Path(bundle)
    for name, entry in read_manifest(folder)["files"].items():
        found = sha256(folder / name)
        if found != entry["sha256"]:
            raise CorruptBundleError(f"{folder / name} has SHA-256 {found}, the manifest says {entry['sha256']}")


def base_digest(manifest: dict[str, Any]) -> str:
    """What an adapter is made for: SHA-256 over program, tokenizer and weights as the manifest names them."""
    names = sorted((PROGRAM, WEIGHTS, manifest["tokenizer"]["file"]))
    said = "".join(f"{name} {manifest['files'][name]['sha256']}\n" for name in names)
    return hashlib.sha256(said.encode()).hexdigest()


def base_of(path: Path) -> Path | None:
    """The bundle that an adapter's folder lies in; None where the path is no adapter's."""
    return path.resolve().parent.parent if (path / ADAPTER).is_file() else None


def read_adapter(folder: Path) -> dict[str, Any]:
    """An adapter's manifest, its file's size checked."""
    return read_manifest(folder, ADAPTER, ADAPTER_KEYS)


def read_model(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle, or of an adapter in one."""
    return read_manifest(folder) if base_of(folder) is None else read_adapter(folder)


def update_judge(folder: Path, said: dict[str, Any]) -> None:
    """Puts what is said into the judge of a bundle's or an adapter's manifest."""
    manifest = read_model(folder)
    name = MANIFEST if base_of(folder) is None else ADAPTER
    write_file(folder / name, to_json(manifest | {"judge": manifest["judge"] | said}))


def read_probe(folder: Path) -> dict[str, Any]:
    """The probe of a bundle that has one."""
    probe: dict[str, Any] = json.loads((folder / PROBE).read_bytes())
    return probe


def probe_parts(probe: dict[str, Any]) -> list[tuple[int, str]]:
    """Layer and pooling of each part of a probe. Format 1 knew means alone."""
    if probe["format"] == 1:
        return [(layer, "mean") for layer in probe["layers"]]
    return [(term["layer"], term["pooling"]) for term in probe["terms"]]


def probe_summary(probe: dict[str, Any]) -> dict[str, Any]:
    """A probe without the numbers that nobody reads."""

    def short(head: dict[str, Any]) -> dict[str, Any]:
        parts = [{"layer": layer, "pooling": pooling} for layer, pooling in probe_parts({"format": 2} | head)]
        return head | {"terms": parts}

    if probe["format"] == 1:
        return {name: value for name, value in probe.items() if name != "weights"}
    return short(probe) | {"early": [short(each) for each in probe.get("early", [])]}


def add_probe(bundle: str | Path, probe: dict[str, Any]) -> None:
    """Gives a bundle a probe, or another one. The bundle is whole at every moment: an old probe is first taken out of
    the manifest, and the new one is named there only once it is written."""
    folder = Path(bundle)
    manifest = read_manifest(folder)
    architecture = manifest["architecture"]
    layers = [layer for layer, _ in probe_parts(probe)]
    weights = probe["weights"] if "weights" in probe else [term["weights"] for term in probe["terms"]]
    if len(weights) != len(layers) or any(len(row) != architecture["hidden"] for row in weights):
        raise ToolkitError(f"the probe needs {architecture['hidden']} weights for each of its layers {layers}")
    if not all(0 <= layer <= architecture["layers"] for layer in layers):
        raise ToolkitError(f"the probe taps layers {layers}; {manifest['name']} has 0 to {architecture['layers']}")
    data = to_json(probe)
    if manifest["files"].pop(PROBE, None):
        manifest["probe"] = None
        write_file(folder / MANIFEST, to_json(manifest))
    write_file(folder / PROBE, data)
    manifest["probe"] = {"file": PROBE}
    manifest["files"][PROBE] = file_entry(folder / PROBE)
    write_file(folder / MANIFEST, to_json(manifest))
