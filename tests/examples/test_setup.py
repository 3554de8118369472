"""The set-up on machines made of stubs: what it does, what it does not do twice, and what it says where it stops."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "awk bash cat cp cut date df dirname env flock grep id mkdir mktemp mv nproc rm sed sha256sum sleep sort tail touch"
)
STUBS = {
    # Every package is installed, cmake builds, and Python makes an environment in which pip works.
    "dpkg-query": 'shift 3; for package; do echo -n "installed $package "; done',  # -W -f FORMAT PACKAGE...
    "apt-get": 'echo "apt-get $*"',
    "df": 'echo; echo "disk 1 1 99999999 1% /"',
    "cmake": """case "$1" in
        --build) [ -f build/lib/libgavel.so ] && echo "ninja: no work to do." && exit
                 mkdir -p build/lib; touch build/lib/libgavel.so; echo compiled ;;
        *) touch build/build.ninja; echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" > build/CMakeCache.txt; echo configured ;;
    esac""",
    "javac": "",
    "python": """case "$*" in
        "-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; echo made "$4" ;;
        *sys.prefix*) self=${0%/bin/python}; echo "$self" ;;
        -c*) ;;
        "-m pip install"*) echo "installed" ;;
        bindings/prepare_model.py*) mkdir -p "$4"; touch "$4/gavel.json"; echo "exported $4 $5" ;;
        *) echo "unexpected: $*"; exit 1 ;;
    esac""",
}


class Machine:
    """A checkout's scripts in a folder of their own, and a PATH on which nothing is but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin = folder / "checkout", folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir(parents=True)
        for tool in TOOLS.split():
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/missing/{tool}")
        for name, script in STUBS.items():
            self.stub(name, script)
        ours = ["setup", "prepare_model.py", "python/requirements.txt", "python/pyproject.toml"]
        toolkit = sorted((ROOT / "bindings/python/gavel/toolkit").glob("*.py"))
        for file in [ROOT / "bindings" / name for name in ours] + toolkit:
            target = self.checkout / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)

    def stub(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.calls}\n{script}\n')
        path.chmod(0o755)

    def run(self, profile: str = "demo") -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        command = ["/bin/bash", str(self.checkout / "bindings/setup"), profile]
        python = str(self.bin / "python")
        environment = {"PATH": str(self.bin), "HOME": str(self.checkout), "GAVEL_PYTHON": python, "LC_ALL": "C"}
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def refused(result: subprocess.CompletedProcess[str], step: str, cause: str, remedy: str) -> None:
    assert result.returncode == 1, result.stderr
    assert f"{step}) failed: " in result.stderr
    failed = result.stderr[result.stderr.index(") failed: ") :]
    assert cause in failed.splitlines()[0] and remedy in failed, result.stderr
    assert "Log: build/logs/" in failed


def test_everything_once(machine: Machine) -> None:
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert first.stdout == "", "what is said goes to standard error, so that --json stays clean"
    assert [line.split()[-3] for line in first.stderr.splitlines()[:4]] == ["ready", "done", "done", "done"]
    began = time.monotonic()
    second = machine.run()
    assert second.stderr.count("ready") == 4 and "done" not in second.stderr, second.stderr
    assert time.monotonic() - began < 3
    calls = machine.calls.read_text()
    assert "pip" not in calls and "apt-get" not in calls and "prepare_model" not in calls


def test_tests_need_more(machine: Machine) -> None:
    assert machine.run("tests").returncode == 0
    bundles = sorted(path.name for path in (machine.checkout / "build/models").glob("*.gavel"))
    assert bundles == [f"{name}.gavel" for name in ("qwen2.5-coder-0.5b-instruct-int8", *SMOLLM2)]


SMOLLM2 = ("smollm2-135m-instruct-fp32", "smollm2-135m-instruct-int8")


def test_changed_pins_are_installed(machine: Machine) -> None:
    machine.run()
    with (machine.checkout / "bindings/python/requirements.txt").open("a") as file:
        file.write("more==1.0\n")
    again = machine.run()
    assert [line.split()[-3] for line in again.stderr.splitlines()[:4]] == ["ready", "done", "ready", "ready"]


def test_probe_reaches_its_bundle(machine: Machine) -> None:
    machine.run()
    probe = machine.checkout / "examples/probes/qwen2.5-coder-0.5b-instruct.json"
    probe.parent.mkdir(parents=True)
    probe.write_text("{}")
    machine.run()
    log = (machine.checkout / "build/logs/models.log").read_text()
    assert "examples/probes/qwen2.5-coder-0.5b-instruct.json" in log


def test_judge_reaches_its_bundle_and_a_changed_one_again(machine: Machine) -> None:
    judge = machine.checkout / "examples/judges/qwen2.5-coder-0.5b-instruct"
    judge.mkdir(parents=True)
    log = machine.checkout / "build/logs/models.log"
    for said in ("{}", '{"plain": true}'):
        (judge / "judge.json").write_text(said)
        log.unlink(missing_ok=True)
        machine.run()
        assert "examples/judges/qwen2.5-coder-0.5b-instruct" in log.read_text()


def test_missing_packages_are_installed(machine: Machine) -> None:
    machine.stub("dpkg-query", "")
    machine.stub("id", "echo 0")
    assert machine.run().returncode == 0
    calls = machine.calls.read_text()
    assert "apt-get update" in calls and "libsentencepiece-dev" in calls and "ninja-build" in calls


def test_one_failed_step_is_not_taken_for_done(machine: Machine) -> None:
    machine.stub("cmake", "echo 'error: expected a semicolon'; exit 1")
    for _ in range(2):
        result = machine.run()
        refused(result, "Step 3 (build", "see the last lines above", "run the same command again")
        assert "expected a semicolon" in result.stderr


def test_no_rights_to_install(machine: Machine) -> None:
    machine.stub("dpkg-query", 'echo -n "installed g++ installed cmake "')
    machine.stub("id", "echo 1000")
    remedy = "have an administrator run: apt-get install ninja-build pkg-config"
    refused(machine.run(), "Step 1 (distribution packages", "no rights", remedy)
    machine.stub("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    refused(machine.run(), "Step 1 (distribution packages", "no rights", remedy)


def test_no_network_for_packages(machine: Machine) -> None:
    machine.stub("dpkg-query", "")
    machine.stub("id", "echo 0")
    machine.stub("apt-get", "echo \"W: Temporary failure resolving 'mirror.invalid'\"; exit 100")
    refused(machine.run(), "Step 1 (distribution packages", "no network", "connect this machine")


def test_no_network_for_pip(machine: Machine) -> None:
    no_network = "echo 'NewConnectionError: Failed to establish a new connection'; exit 1"
    machine.stub("python", STUBS["python"].replace('echo "installed"', no_network))
    refused(machine.run(), "Step 2 (virtual environment", "no network", "connect this machine")
    machine.stub("python", STUBS["python"])
    shutil.copy(machine.bin / "python", machine.checkout / "build/venv/bin/python")
    assert machine.run().returncode == 0, "a broken installation goes on where it stopped"


def test_no_network_for_models(machine: Machine) -> None:
    no_source = "echo 'error: a.gguf could not be fetched: the Hub: Network is unreachable'; exit 1"
    machine.stub("python", STUBS["python"].replace('mkdir -p "$4"; touch', f"{no_source}; touch"))
    refused(machine.run(), "Step 4 (models", "no network", "connect this machine")


def test_no_disk(machine: Machine) -> None:
    machine.stub("df", 'echo; echo "disk 1 1 1000000 99% /"')
    refused(machine.run(), "Step 2 (virtual environment", "the disk is full", "12 GB")
    assert "pip" not in machine.calls.read_text(), "it is checked before anything is fetched"


def test_no_python(machine: Machine) -> None:
    machine.stub("python", "exit 1")
    refused(machine.run(), "Step 2 (virtual environment", "no Python 3.11, 3.12 or 3.13", "GAVEL_PYTHON")


def test_no_rights_in_the_checkout(machine: Machine) -> None:
    (machine.checkout / "build").write_text("in the way")
    result = machine.run()
    assert result.returncode == 1 and "cannot write" in result.stderr and "To do: " in result.stderr


def test_unknown_profile(machine: Machine) -> None:
    result = machine.run("everything")
    assert result.returncode == 2 and "one of demo, tests, bench" in result.stderr
