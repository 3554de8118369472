"""Rows worked on by a Ray cluster: each node opens one worker, and whichever is free gets the next row.

Ray is asked for actors alone. Whether a row is done is known here and nowhere else: a row whose worker dies is handed
out again, and what a dead worker might still have answered is not listened to, so that no row is done twice.
"""

from __future__ import annotations

import os
import socket
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from gavel._version import __version__
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.work import Recipe, Worker

ATTEMPTS = 3  # to open a worker on a node, and to work on a row: the third death is taken for the row's doing
CONNECT_SECONDS = 10.0  # Ray itself tries for minutes, and then ends the process
PATIENCE_SECONDS = 60.0  # until a worker that has not opened is mentioned
CLOSE_SECONDS = 10.0


class ClusterError(ToolkitError):
    """The cluster is not there, or its nodes cannot do the work."""


class LostRow(ClusterError):
    """A row during which workers died, time after time."""


class GavelWorker:
    """The actor: one worker, opened on the actor's node."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._worker: Worker | None = None

    def open(self, recipe: Recipe) -> tuple[str, Any]:
        self._worker = self._open.enter_context(recipe.open())
        return __version__, self._worker.facts

    def work(self, row: Row) -> Row:
        assert self._worker is not None
        return self._worker.work(row)

    def close(self) -> None:
        self._open.close()


@dataclass
class Place:
    """Where a worker runs: a node, or one GPU of a node with its share of the processors."""

    node: str
    name: str
    cpus: float
    gpus: int = 0
    deaths: int = 0  # in a row, before its worker was open


@dataclass(eq=False)
class _Member:
    place: Place
    actor: Any
    started: float
    opened: bool = False
    busy: int = 0  # hands that have a row


@dataclass(eq=False)
class _Errand:
    """One row on its way."""

    row: Row
    hands: int = 1
    lost_at: list[str] = field(default_factory=list)


class Cluster:
    """Workers of one recipe on every node of a running Ray cluster, until the ``with`` block ends.

    ``address`` is ``auto`` (the cluster this machine belongs to) or HOST:PORT. Each worker takes all processors of its
    node, or with ``gpu`` one GPU and its share of them, and has up to ``rows_each`` rows in hand, each in a thread of
    its own. ``tell`` gets one line about each worker that dies or keeps everybody waiting. One Cluster at a time in a
    process.

    Raises ClusterError where Ray is missing, nothing answers at the address, or a node cannot open the recipe.
    """

    def __init__(
        self,
        address: str,
        recipe: Recipe,
        *,
        tell: Callable[[str], None],
        gpu: bool = False,
        rows_each: int = 1,
    ) -> None:
        self._ray = _ray()
        self._recipe = recipe
        self._tell = tell
        self._rows_each = rows_each
        self._members: list[_Member] = []
        self._under_way: dict[Any, tuple[_Member, _Errand | None]] = {}  # without an errand it is being opened
        self._facts: tuple[str, Any] | None = None
        self._first = ""  # the node that facts are from
        self._slow: set[str] = set()
        _connect(self._ray, address)
        try:
            for place in places(self._ray.nodes(), gpu):
                self._start(place)
            while self._facts is None:
                for ref in self._ready():
                    self._opened(self._under_way.pop(ref)[0], ref)
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> Any:
        """What the workers say of themselves."""
        assert self._facts is not None
        return self._facts[1]

    def results(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Future[Row]]]:
        """Each row with what came of it, as they are done: a future that holds the result, the worker's exception, or
        LostRow."""
        waiting = deque(_Errand(row) for row in rows)
        while waiting or any(errand for _, errand in self._under_way.values()):
            self._hand_out(waiting)
            for ref in self._ready():
                member, errand = self._under_way.pop(ref)
                if errand is None:
                    self._opened(member, ref)
                elif done := self._done(member, errand, ref):
                    yield errand.row, done
                else:
                    waiting.appendleft(errand)

    def _hand_out(self, waiting: deque[_Errand]) -> None:
        while waiting:
            hands = waiting[0].hands
            free = [each for each in self._members if each.opened and each.busy + hands <= self._rows_each]
            if not free:
                return
            member = min(free, key=lambda each: each.busy)
            errand = waiting.popleft()
            member.busy += hands
            self._under_way[member.actor.work.remote(errand.row)] = member, errand

    def _ready(self) -> Sequence[Any]:
        """Calls that have ended; waits for the first."""
        while True:
            if not self._under_way:
                raise ClusterError("no node has a worker left; what is done is kept, see `ray status` for the others")
            ready, _ = self._ray.wait(list(self._under_way), timeout=PATIENCE_SECONDS)
            now = time.monotonic()
            for member in self._members:
                name = member.place.name
                if not member.opened and now - member.started > PATIENCE_SECONDS and name not in self._slow:
                    self._slow.add(name)
                    self._tell(f"{name} has no worker yet: its processors are taken (see `ray status`), or it is slow")
            if ready:
                return ready

    def _start(self, place: Place) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(GavelWorker)
            .options(
                num_cpus=place.cpus,
                num_gpus=place.gpus,
                max_concurrency=self._rows_each,
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
            )
            .remote()
        )
        member = _Member(place, actor, time.monotonic())
        self._members.append(member)
        self._under_way[actor.open.remote(self._recipe)] = member, None

    def _opened(self, member: _Member, ref: Any) -> None:
        name = member.place.name
        try:
            facts = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise ClusterError(
                f"{name} cannot open its worker: {_last_line(error.cause or error)}. Every node needs Gavel "
                f"{__version__} and must see the bundles under the same paths"
            ) from error
        except self._ray.exceptions.RayError as error:
            member.place.deaths += 1
            self._replace(member, f"died while it opened: {_last_line(error)}")
            return
        if self._facts is None:
            self._facts, self._first = facts, name
        if facts != self._facts:
            raise ClusterError(
                f"{name} opens something else than {self._first}; put the same bundles and the same version of Gavel "
                "on every node"
            )
        member.opened, member.place.deaths = True, 0

    def _done(self, member: _Member, errand: _Errand, ref: Any) -> Future[Row] | None:
        """What came of the row; None where it is to be handed out again."""
        member.busy -= errand.hands
        future: Future[Row] = Future()
        try:
            future.set_result(self._ray.get(ref))
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause or error
            if cause is not error:
                cause.__cause__ = error  # which has the traceback of the other machine
            future.set_exception(cause)
        except self._ray.exceptions.RayError:
            self._replace(member, "died; its tasks go to others")
            errand.lost_at.append(member.place.name)
            errand.hands = self._rows_each  # from now on alone, so that no other row is taken for the cause
            if len(errand.lost_at) < ATTEMPTS:
                return None
            future.set_exception(
                LostRow(
                    f"its worker died {ATTEMPTS} times ({', '.join(errand.lost_at)}); most likely the node's memory "
                    "does not suffice"
                )
            )
        return future

    def _replace(self, member: _Member, why: str) -> None:
        """Ends a worker that does not answer any more, and starts another one in its place."""
        if member not in self._members:
            return  # another of its rows told so before
        self._members.remove(member)
        self._kill(member)
        place = member.place
        gone = all(node["NodeID"] != place.node or not node["Alive"] for node in self._ray.nodes())
        if gone or place.deaths >= ATTEMPTS:
            self._tell(f"{place.name}: {'the node is gone' if gone else f'its worker {why}'}; going on without it")
        else:
            self._tell(f"{place.name}: its worker {why}; starting another")
            self._start(place)

    def _kill(self, member: _Member) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(member.actor)

    def close(self) -> None:
        """Ends the workers and the connection; a worker that has no row in hand may put its things away first."""
        idle = [member.actor.close.remote() for member in self._members if member.opened and not member.busy]
        if idle:
            self._ray.wait(idle, num_returns=len(idle), timeout=CLOSE_SECONDS)
        for member in self._members:
            self._kill(member)
        self._members.clear()
        self._ray.shutdown()
        self._ray._private.worker._worker_logs_enabled = True

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def places(nodes: Iterable[dict[str, Any]], gpu: bool) -> list[Place]:
    """Where workers go, from what ``ray.nodes()`` says: a model uses all processors that it gets, so that one worker
    for each node, or with ``gpu`` for each GPU, is as many as do any good."""
    found = []
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        cpus, gpus = has.get("CPU", 0.0), int(has.get("GPU", 0))
        name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        if gpu:
            share = cpus / gpus if gpus else 0.0
            share = share if share < 1 else int(share)  # Ray takes whole processors, or a part of one
            found += [Place(node["NodeID"], name, share, 1) for _ in range(gpus)]
        elif cpus:
            found.append(Place(node["NodeID"], name, cpus))
    if not found:
        raise ClusterError(f"no node of the cluster has a {'GPU' if gpu else 'processor'} to offer; see `ray status`")
    return found


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise ClusterError("Ray is not installed, and --ray needs it: pip install 'ray>=2.40'") from None
    return ray


def _connect(ray: ModuleType, address: str) -> None:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address != "auto":
        _reach(address)
    # What Ray's daemons say of a dead worker would go to stdout, among the results, and no option keeps it away.
    ray._private.worker._worker_logs_enabled = False
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(f"--ray {address}: {_last_line(error)}") from error


def _reach(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise ClusterError(
            f"--ray {address} is no address; expected auto or HOST:PORT, on a machine of the cluster (one that only "
            "hands out the work joins it with `ray start --address HOST:PORT --num-cpus 0`)"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"--ray {address}: nothing answers there ({error}); start a cluster with `ray start --head`"
        ) from error


def _last_line(error: BaseException) -> str:
    """What an error says in the end: Ray puts tracebacks before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[-1].rstrip("."), 300, placeholder=" ...")
