"""The C test and the examples on a bundle, and the package as it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gavel import _ffi

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> Path:
    """A program of the build that the loaded library is from."""
    file = Path(_ffi.library_path()).resolve().parents[1] / "bin" / name
    if not file.is_file():
        pytest.skip(f"{file} is not there; build the tests and examples with CMake")
    return file


def run(*command: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings/python")}
    return subprocess.run([str(each) for each in command], env=environment, capture_output=True, text=True)


def test_c_on_a_bundle(tiny_bundle: Path) -> None:
    done = run(program("test_capi"), tiny_bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "passed\n"


def test_the_examples_find_the_same_candidate(tiny_bundle: Path) -> None:
    commands = (
        [program("best_of_ten_cpp")],
        [program("best_of_ten_c")],
        [sys.executable, ROOT / "examples/python/best_of_ten.py"],
    )
    done = [run(*command, tiny_bundle) for command in commands]
    assert [each.returncode for each in done] == [0, 0, 0], [each.stderr for each in done]
    assert done[0].stdout == done[1].stdout == done[2].stdout
    assert done[0].stdout.startswith("def is_leap_year") and "score" in done[0].stdout


@pytest.mark.parametrize("arguments", [[], ["no/such/bundle.gavel"]], ids=["none", "missing"])
def test_the_examples_say_what_is_wrong(arguments: list[str]) -> None:
    for command in (
        [program("best_of_ten_cpp")],
        [program("best_of_ten_c")],
        [sys.executable, ROOT / "examples/python/best_of_ten.py"],
    ):
        done = run(*command, *arguments)
        assert done.returncode == 1 and (arguments or ["usage"])[0] in done.stderr and done.stdout == ""


def test_the_installed_package_carries_what_it_needs(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = tmp_path / "source"
    tree = ("bindings/python", "capi", "include", "examples/tasks")
    for folder in tree:
        (copy / folder).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / folder, copy / folder], check=True)
    done = run(*pip, "--target", tmp_path / "installed", copy / "bindings/python")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed/gavel/gavel.h").read_bytes() == (ROOT / "capi/gavel.h").read_bytes()
    code = "import gavel; print(gavel.__file__, gavel._ffi.ffi.sizeof('gavel_task'))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.startswith(str(tmp_path / "installed")), said.stderr
    assert (tmp_path / "installed/bin/gavel").is_file()
    study = tmp_path / "installed/gavel/toolkit/study"
    for name in ("quick.toml", "report.html.j2", "tasks/java.jsonl", "tasks/python.jsonl"):
        assert (study / name).stat().st_size > 0
