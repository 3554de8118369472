"""Work on a Ray cluster of two nodes on this machine: the same rows as without, each once, whoever is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import needs_sandbox
from recipes import Doubling
from test_cli import FEW, ROWS, done, read, refused, run, without_times, write
from test_label import rows as label_rows

from gavel.toolkit import datasets
from gavel.toolkit.cluster import Cluster, ClusterError, LostRow, places
from gavel.toolkit.datasets import RowWriter
from gavel.toolkit.label import label

ROOT = Path(__file__).resolve().parents[2]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed here: pip install 'ray>=2.40'"
)
STORE = 100 * 2**20  # bytes; the least that Ray takes is 75 MiB


class TwoNodes:
    """A cluster of two nodes with one processor each; NODE says in their environment which they are."""

    def __init__(self, folder: str) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        size = {"num_cpus": 1, "object_store_memory": STORE}
        head = size | {"include_dashboard": False, "temp_dir": folder, "env_vars": {"NODE": "first"}}
        self._cluster = RayCluster(initialize_head=True, head_node_args=head)
        self._cluster.add_node(**size, env_vars={"NODE": "second"})
        self.address: str = self._cluster.address

    def processes(self) -> list[int]:
        """All processes of all nodes."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        started = [each.process.pid for node in nodes for kind in node.all_processes.values() for each in kind]
        return started + [child for pid in started for child in children(pid)]

    def workers(self) -> list[int]:
        return [pid for pid in self.processes() if title(pid).startswith("ray::GavelWorker")]

    def kill_a_worker(self) -> None:
        """One that is at work, where one is."""
        os.kill(max(self.workers(), key=lambda pid: ".work" in title(pid)), signal.SIGKILL)

    def shut_down(self) -> None:
        self._cluster.shutdown()


def children(pid: int) -> list[int]:
    tasks = Path("/proc", str(pid)).glob("task/*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def title(pid: int) -> str:
    try:
        return Path("/proc", str(pid), "cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    path = os.pathsep.join([str(ROOT / "bindings/python"), str(ROOT / "tests/python")])
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory(prefix="gavel-ray-") as folder:
        environment.setenv("PYTHONPATH", path)  # which the nodes, and their workers, inherit
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = TwoNodes(folder)
        processes = nodes.processes()
        try:
            yield nodes
            processes = nodes.processes()
        finally:
            nodes.shut_down()
        deadline = time.monotonic() + 20
        while (left := [pid for pid in processes if title(pid)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, [title(pid) for pid in left]


def many(count: int) -> list[datasets.Row]:
    return [ROWS[0] | {"task_id": f"Sums/{number}"} for number in range(count)]


def in_order(rows: list[dict[str, Any]], like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without their times, in the order of others; each must be there once."""
    assert sorted(row["task_id"] for row in rows) == sorted(row["task_id"] for row in like)
    found = {row["task_id"]: row for row in without_times(rows)}
    return [found[row["task_id"]] for row in like]


# ---- The commands ----------------------------------------------------------------------------------------------------


@needs_ray
def test_a_killed_workers_tasks_are_done_again_and_none_twice(
    tmp_path: Path, tiny_bundle: Path, cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    rows = [row | {"prompt": f"def f{row['task_id']}(" * 8} for row in many(12)]
    rows[5]["prompt"] = ""  # which fails, wherever it is tried
    tasks = write(tmp_path / "tasks.jsonl", rows)
    command = ("generate", tasks, "-g", tiny_bundle, "-n", 10, "--max-tokens", 64, "--seed", 3, "--no-language-stops")
    append = RowWriter.append

    def kill_at_the_fourth(writer: RowWriter, row: datasets.Row) -> None:
        append(writer, row)
        if len(writer.finished) == 4:
            cluster.kill_a_worker()

    with monkeypatch.context() as patch:
        patch.setattr(RowWriter, "append", kill_at_the_fourth)
        result = run(*command, "-o", there, "--ray", cluster.address, "--json")
    assert "its worker died; its tasks go to others; starting another" in result.stderr
    summary = json.loads(result.stdout)  # and not a word of Ray's before it
    assert summary["done"] == 11
    assert summary["failed"] == json.loads(run(*command, "-o", here, "--json").stdout)["failed"]
    assert list(summary["failed"]) == ["Sums/5"]
    expected = without_times(read(here))
    assert [json.dumps(row) for row in in_order(read(there), expected)] == [json.dumps(row) for row in expected]
    assert not cluster.workers()


@needs_ray
def test_judge_and_solve_say_the_same_as_here(
    tmp_path: Path, tiny_bundle: Path, cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles by relative paths, which the nodes do not share; a run that was begun here goes on there."""
    monkeypatch.chdir(tiny_bundle.parent)
    tasks = write(tmp_path / "tasks.jsonl", many(3))
    candidates = [{"code": "    return a + b\n"}, {"code": "    return a\n"}]
    made = write(tmp_path / "made.jsonl", [row | {"candidates": candidates} for row in many(3)])
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    judging = ("judge", made, "-j", f"{tiny_bundle.name}:verbalizer")
    done(*judging, "-o", here)
    done(*judging, "-o", there, "--limit", 1)
    summary = json.loads(done(*judging, "-o", there, "--ray", cluster.address, "--json").stdout)
    assert (summary["resumed"], summary["done"], summary["judges"][0]["kind"]) == (1, 2, "verbalizer")
    assert in_order(read(there), read(here)) == without_times(read(here))

    here, there = tmp_path / "solved-here.jsonl", tmp_path / "solved-there.jsonl"
    solving = ("solve", tasks, "-g", tiny_bundle.name, "-j", "verbalizer", *FEW)
    done(*solving, "-o", here)
    done(*solving, "-o", there, "--ray", cluster.address)
    assert in_order(read(there), read(here)) == without_times(read(here))


@needs_ray
@needs_sandbox
def test_labels_are_the_same_with_a_worker_killed(tmp_path: Path, cluster: TwoNodes) -> None:
    source = write(tmp_path / "in.jsonl", label_rows(16))
    label(source, tmp_path / "here.jsonl")
    said: list[str] = []

    def kill_at_the_fourth(pace: Any) -> None:
        if pace.tasks == 4:
            cluster.kill_a_worker()

    summary = label(
        source, tmp_path / "there.jsonl", ray=cluster.address, progress=kill_at_the_fourth, tell=said.append
    )
    assert (summary.tasks, summary.executed, summary.statuses["pass"]) == (16, 48, 32)
    assert len(said) == 1 and "its worker died" in said[0]
    by_task = {row["task_id"]: row for row in datasets.read_rows(tmp_path / "there.jsonl")}
    assert [by_task[f"t/{number}"] for number in range(16)] == datasets.read_rows(tmp_path / "here.jsonl")


@needs_ray
def test_a_bundle_that_a_node_does_not_see(tmp_path: Path, cluster: TwoNodes) -> None:
    tasks, out = write(tmp_path / "tasks.jsonl", ROWS), tmp_path / "out.jsonl"
    said = refused("generate", tasks, "-o", out, "-g", tmp_path / "nothing.gavel", "--ray", cluster.address)
    assert f"{tmp_path}/nothing.gavel" in said and "node " in said and "under the same paths" in said
    assert said.count("\n") == 1
    assert not out.exists()


# ---- Workers that die, nodes that differ -----------------------------------------------------------------------------


def numbers(count: int, **do: str) -> list[datasets.Row]:
    return [{"task_id": f"n{number}", "number": number, "do": do.get(f"n{number}", "")} for number in range(count)]


@needs_ray
def test_a_row_that_kills_its_workers_is_given_up_and_the_others_are_done_once(
    tmp_path: Path, cluster: TwoNodes
) -> None:
    said: list[str] = []
    with Cluster(cluster.address, Doubling(tmp_path), rows_each=2, tell=said.append) as workers:
        results = {row["task_id"]: future for row, future in workers.results(numbers(8, n2="die", n5="fail"))}
    assert isinstance(results.pop("n2").exception(), LostRow)
    with pytest.raises(FileNotFoundError, match="n5"):
        results.pop("n5").result()
    assert {name: future.result()["doubled"] for name, future in results.items()} == {
        f"n{number}": 2 * number for number in (0, 1, 3, 4, 6, 7)
    }
    assert len(said) == 3
    notes = {note.name: note.read_text().count("done") for note in tmp_path.iterdir()}
    assert all(notes[f"n{number}"] == 1 for number in (3, 4, 6, 7))


@needs_ray
def test_a_node_whose_worker_cannot_live_is_left_out(tmp_path: Path, cluster: TwoNodes) -> None:
    said: list[str] = []
    with Cluster(cluster.address, Doubling(tmp_path, dies_on="second"), tell=said.append) as workers:
        results = [future.result()["doubled"] for _, future in workers.results(numbers(3))]
    assert sorted(results) == [0, 2, 4]
    assert all("died while it opened" in line for line in said)


@needs_ray
def test_nodes_that_open_different_things_are_refused(
    tmp_path: Path, cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gavel.toolkit.cluster.PATIENCE_SECONDS", 0.01)  # no process starts in that
    said: list[str] = []
    with (
        pytest.raises(ClusterError, match="opens something else than node"),
        Cluster(cluster.address, Doubling(tmp_path, facts_from="NODE"), tell=said.append) as workers,
    ):
        while True:
            list(workers.results(numbers(10)))
    assert said and all("has no worker yet" in line for line in said)


# ---- Without a cluster -----------------------------------------------------------------------------------------------


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    tasks, out = write(tmp_path / "tasks.jsonl", ROWS), tmp_path / "out.jsonl"
    for command in (("generate", tasks, "-g", tiny_bundle), ("label", write(tmp_path / "in.jsonl", label_rows(1)))):
        assert "pip install 'ray>=2.40'" in refused(*command, "-o", out, "--ray", "auto")
    done("generate", tasks, "-g", tiny_bundle, *FEW, "-o", tmp_path / "local.jsonl")


@needs_ray
def test_addresses_that_are_refused(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, out = write(tmp_path / "tasks.jsonl", ROWS), tmp_path / "out.jsonl"

    def said(address: str, *more: str) -> str:
        return refused("generate", tasks, "-g", tiny_bundle, "-o", out, "--ray", address, *more)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"{nobody}: nothing answers" in said(nobody) and "ray start --head" in said(nobody)
        monkeypatch.setenv("RAY_ADDRESS", nobody)
        assert f"{nobody}: nothing answers" in said("auto")
    assert "HOST:PORT" in said("nonsense")
    assert "ray start --address" in said("ray://127.0.0.1:10001")
    assert "say cuda" in said("auto", "--device", "cuda:1")
    assert not out.exists()


def test_one_worker_for_each_node_or_each_gpu() -> None:
    def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {
            "NodeID": name,
            "NodeManagerHostname": name,
            "NodeManagerAddress": "10.0.0.1",
            "Alive": alive,
            "Resources": resources,
        }

    nodes = [node("a", CPU=8.0), node("b", CPU=6.0, GPU=4.0), node("gone", alive=False, CPU=4.0), node("head")]
    assert [(place.node, place.cpus, place.gpus) for place in places(nodes, gpu=False)] == [("a", 8, 0), ("b", 6, 0)]
    assert [(place.node, place.cpus, place.gpus) for place in places(nodes, gpu=True)] == 4 * [("b", 1, 1)]
    with pytest.raises(ClusterError, match="GPU"):
        places(nodes[:1], gpu=True)
