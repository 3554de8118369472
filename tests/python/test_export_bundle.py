"""The bundle as a folder: manifest, hashes, and the probe put into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gavel.toolkit import bundle as bundles
from gavel.toolkit.bundle import add_probe, new_bundle, read_manifest, to_json, verify, write_manifest
from gavel.toolkit.errors import CorruptBundleError, ToolkitError

MANIFEST: dict[str, Any] = {
    "format": 2,
    "name": "b",
    "kind": "decoder",
    "architecture": {"hidden": 3, "layers": 2},
    "precision": "fp32",
    "tokenizer": {},
    "tokens": {"bos": None, "stop": [1, 2]},
    "prompts": {"completion": [{"text": "a list [ 1 ] in a text"}]},
    "head": {"type": "lm"},
    "probe": None,
}
PROBE = {"format": 1, "layers": [1], "weights": [[0.5, 1e-9, -2.0]], "bias": 0.25}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with new_bundle(tmp_path / "b.gavel") as folder:
        (folder / "program.pt").write_bytes(b"program")
        write_manifest(folder, MANIFEST, ["program.pt"])
    return tmp_path / "b.gavel"


def test_manifest_round_trip(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert {key: value for key, value in manifest.items() if key != "files"} == MANIFEST
    assert manifest["files"]["program.pt"]["bytes"] == 7
    verify(folder)
    assert '"stop": [1, 2]' in (folder / "gavel.json").read_text()


def test_json_keeps_what_is_in_texts() -> None:
    value = {
        "text": "[\n 1,\n 2\n]",
        "numbers": [1, -2.5, 1e-9, 3],
        "nested": [[1, 2], [3]],
        "empty": [],
        "é": "\u2028",
    }
    assert json.loads(to_json(value)) == value


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format": 1}, "has format 1; this version reads 2"),
        ({"files": {"../x": {"bytes": 1, "sha256": ""}}}, "no file of the bundle's own folder"),
        ({"files": {"program.pt": {"bytes": 6, "sha256": ""}}}, "it has 7 bytes, the manifest says 6"),
        ({"files": {"weights.safetensors": {"bytes": 6, "sha256": ""}}}, "it is missing"),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], message: str, folder: Path) -> None:
    (folder / "gavel.json").write_text(json.dumps(read_manifest(folder) | change))
    with pytest.raises(CorruptBundleError, match=message):
        read_manifest(folder)


def test_flipped_bit_and_broken_manifest_are_named(folder: Path) -> None:
    (folder / "program.pt").write_bytes(b"prograM")
    with pytest.raises(CorruptBundleError, match=r"program\.pt has SHA-256"):
        verify(folder)
    (folder / "gavel.json").write_text("{")
    with pytest.raises(CorruptBundleError, match="is no JSON"):
        read_manifest(folder)
    (folder / "gavel.json").unlink()
    with pytest.raises(ToolkitError, match="is no bundle"):
        read_manifest(folder)


def test_probe_is_added_and_replaced(folder: Path) -> None:
    add_probe(folder, PROBE)
    manifest = read_manifest(folder)
    assert manifest["probe"] == {"file": "probe.json"} and "probe.json" in manifest["files"]
    assert json.loads((folder / "probe.json").read_text()) == PROBE
    add_probe(folder, PROBE | {"bias": 7})
    verify(folder)
    assert json.loads((folder / "probe.json").read_text())["bias"] == 7
    assert read_manifest(folder)["files"]["program.pt"] == manifest["files"]["program.pt"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_bundle_is_whole_where_replacing_a_probe_is_cut_short(
    step: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_probe(folder, PROBE)
    steps = iter(range(1, 9))
    write = bundles.write_file

    def cut_short(path: Path, data: bytes) -> None:
        if next(steps) == step:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(bundles, "write_file", cut_short)
    with pytest.raises(KeyboardInterrupt):
        add_probe(folder, PROBE | {"bias": 7})
    verify(folder)
    monkeypatch.setattr(bundles, "write_file", write)
    add_probe(folder, PROBE | {"bias": 8})
    verify(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"weights": [[1.0, 2.0]]}, "needs 3 weights"),
        ({"layers": [1, 2]}, "needs 3 weights"),
        ({"layers": [3]}, "b has 0 to 2"),
    ],
)
def test_probe_of_another_model_is_refused(change: dict[str, Any], message: str, folder: Path) -> None:
    before = (folder / "gavel.json").read_bytes()
    with pytest.raises(ToolkitError, match=message):
        add_probe(folder, PROBE | change)
    assert (folder / "gavel.json").read_bytes() == before


def test_adapters_outlive_a_replaced_bundle(folder: Path) -> None:
    (folder / "adapters" / "mine").mkdir(parents=True)
    (folder / "adapters" / "mine" / "adapter.json").write_text("{}")
    with new_bundle(folder, force=True) as again:
        (again / "program.pt").write_bytes(b"another program")
        write_manifest(again, MANIFEST, ["program.pt"])
    verify(folder)
    assert (folder / "adapters" / "mine" / "adapter.json").read_text() == "{}"
