"""What tests share: a bundle made on the spot, and real ones where they are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and a small byte-level BPE: whole, quick, and it writes nonsense."""
    return _tiny(tmp_path_factory.mktemp("tiny"), "fp32")


@pytest.fixture(scope="session")
def tiny_int8_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in int8, whose scores do not depend on what stands in the same batch."""
    return _tiny(tmp_path_factory.mktemp("tiny-int8"), "int8")


def _tiny(folder: Path, precision: str) -> Path:
    import tiny_models as tiny

    from gavel.toolkit.export import export

    checkpoint = tiny.save(tiny.model("llama", max_position_embeddings=1024), folder / "checkpoint")
    return export(checkpoint, folder / "tiny.gavel", precision=precision, license="apache-2.0")


@pytest.fixture
def tiny_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle to spoil."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.gavel"))


def real_bundle(name: str) -> Path:
    """A bundle of $GAVEL_TEST_BUNDLES or build/models."""
    folder = Path(os.environ.get("GAVEL_TEST_BUNDLES") or ROOT / "build" / "models")
    if not (folder / name / "gavel.json").is_file():
        pytest.skip(f"{folder / name} is not there; make it with bindings/prepare_model.py, or set GAVEL_TEST_BUNDLES")
    return folder / name


@pytest.fixture(scope="session")
def smollm2_bundle() -> Path:
    return real_bundle("smollm2-135m-instruct-int8.gavel")


@pytest.fixture
def flip() -> Callable[[Path, int], None]:
    """Flips one bit of a file at a place, counted from its end where negative."""

    def flipped(path: Path, at: int) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return flipped
