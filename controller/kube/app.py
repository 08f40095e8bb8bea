"""The operator process: take the lease, watch, keep a queue of searches, look after each until told to stop."""

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autosel_runtime.errors import AutoselError
from controller.kube import names
from controller.kube.auth import Access, find_access
from controller.kube.client import Client, open_client
from controller.kube.config import Config, read_config
from controller.kube.echoes import Echoes, NotingApi
from controller.kube.errors import ApiError, ConflictError, IntakeClosedError
from controller.kube.health import Health, serve
from controller.kube.kinds import JOBS, PODS, SEARCHES, TRIALS, Kind
from controller.kube.lease import Election, LeaseLostError
from controller.kube.logs import set_up_logs
from controller.kube.metrics import Metrics
from controller.kube.observe import Key
from controller.kube.passes import Settings, reconcile_search
from controller.kube.podstate import STARTING, pod_waiting
from controller.kube.queue import WorkQueue
from controller.kube.rate import RateLimit
from controller.kube.shell import Shell
from controller.kube.watching import WatchHealth, changes

# What a process may take to end once told to: its last calls, then the lease.
DRAIN_SECONDS = 6.0
LIST_RETRY_SECONDS = 5.0
ON_ITS_WAY = STARTING | {"Pending"}

log = logging.getLogger("autosel.operator")


@dataclass(kw_only=True)
class Operator:
    """The parts of one process."""

    config: Config
    access: Access
    client: Client
    election: Election
    metrics: Metrics
    queue: WorkQueue[Key]
    health: Health
    known: set[Key] = field(default_factory=set[Key])
    echoes: Echoes = field(default_factory=Echoes)

    async def work(self) -> None:
        """Handle searches until the queue is stopped."""
        await self.queue.run(self._handle, self._report)

    async def _handle(self, key: Key) -> float | None:
        settings = Settings(jobs=self.config.jobs, job_ttl_seconds=self.config.job_ttl_seconds)
        started, outcome = time.monotonic(), "failed"
        try:
            done = await reconcile_search(NotingApi(self.client, self.echoes), key, settings)
            outcome = "done"
        finally:
            self.metrics.reconciles.labels(outcome).observe(time.monotonic() - started)
        if done is None:
            self.forget(key)
            return None
        self.known.add(key)
        if done.observed is not None and done.state is not None:
            self.metrics.show(key, done.observed, done.state)
        return done.requeue_after

    def hear(self, key: Key, type_: str | None, metadata: Mapping[str, Any]) -> None:
        """Have a search looked at because of an event, unless it only shows what we have written ourselves."""
        if type_ == "DELETED":
            self.echoes.forget(metadata)
        elif self.echoes.is_echo(metadata):
            return
        self.queue.add(key)

    def _report(self, key: Key, error: Exception) -> None:
        where = {"namespace": key.namespace, "search": key.name}
        if isinstance(error, IntakeClosedError):
            return
        if isinstance(error, ConflictError):
            log.info("%s changed meanwhile; looking again: %s", key, error, extra=where)
        elif isinstance(error, AutoselError):
            log.warning("%s: %s", key, error, extra=where)
        else:
            log.error("%s: unexpected %s", key, type(error).__name__, extra=where, exc_info=error)

    def forget(self, key: Key) -> None:
        """Drop what is kept of a search that is gone."""
        if key in self.known:
            self.known.discard(key)
            self.metrics.forget(key)
        self.queue.forget(key)

    async def resync(self) -> None:
        """List all searches now and then, so that a missed event costs no more than that."""
        while True:
            try:
                await self._list_all()
            except IntakeClosedError:
                return
            except ApiError as error:
                log.warning("searches cannot be listed: %s", error)
                await asyncio.sleep(max(LIST_RETRY_SECONDS, error.retry_after or 0.0))
                continue
            await asyncio.sleep(self.config.resync_seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter

    async def _list_all(self) -> None:
        found: set[Key] = set()
        for namespace in self._scopes():
            listing = await self.client.list(SEARCHES, namespace)
            found |= {
                Key(namespace=item["metadata"]["namespace"], name=item["metadata"]["name"])
                for item in listing.items
            }
        for key in self.known - found:
            self.forget(key)
        for key in sorted(found, key=str):
            self.queue.add(key)
        self.health.note_list()

    async def watch_children(self, kind: Kind, namespace: str | None) -> None:
        """Have the search of every trial or Job that changes looked at."""
        labels = {names.MANAGED_BY: names.OPERATOR, names.SEARCH: ""}
        stream = changes(
            self.client,
            kind,
            namespace,
            labels,
            metadata_only=True,
            health=WatchHealth(),
            on_error=self._report_watch,
        )
        async for change in stream:
            metadata = change.object["metadata"]
            key = Key(namespace=metadata["namespace"], name=metadata["labels"][names.SEARCH])
            self.hear(key, change.type, metadata)

    async def watch_pods(self, namespace: str | None) -> None:
        """Have the search of every pod that cannot start looked at: its Job does not change meanwhile."""
        labels = {names.MANAGED_BY: names.OPERATOR, names.SEARCH: ""}
        stream = changes(
            self.client,
            PODS,
            namespace,
            labels,
            # Pods that run are many and tell nothing that their Jobs do not.
            fields="status.phase=Pending",
            health=WatchHealth(),
            on_error=self._report_watch,
        )
        async for change in stream:
            why = pod_waiting(change.object) if change.type != "DELETED" else None
            if why is not None and why.reason not in ON_ITS_WAY:
                metadata = change.object["metadata"]
                self.queue.add(Key(namespace=metadata["namespace"], name=metadata["labels"][names.SEARCH]))

    def _report_watch(self, error: ApiError) -> None:
        log.warning("a watch is interrupted: %s", error)

    def watches(self) -> list[Coroutine[Any, Any, None]]:
        """Return the watches of trials, Jobs and pods, one each a namespace; searches are kopf's."""
        return [
            watch
            for namespace in self._scopes()
            for watch in (
                self.watch_children(TRIALS, namespace),
                self.watch_children(JOBS, namespace),
                self.watch_pods(namespace),
            )
        ]

    def _scopes(self) -> Sequence[str | None]:
        return self.config.namespaces or (None,)


async def operate(config: Config) -> int:
    """Run the operator until SIGTERM or SIGINT; return the exit code."""
    access = find_access(kubeconfig=config.kubeconfig, context=config.context)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    limit = RateLimit(per_second=config.qps, burst=config.burst)
    # The lease has a client of its own, so that a busy controller never misses a renewal.
    async with (
        open_client(access, limit=limit, count=metrics.count_call, agent="autosel-operator") as client,
        open_client(access, count=metrics.count_call, agent="autosel-operator-lease") as lease_client,
    ):
        election = Election(
            api=lease_client,
            namespace=config.lease_namespace or access.namespace,
            name=config.lease_name,
            identity=config.identity,
        )
        client.guard_writes(election.held)
        queue: WorkQueue[Key] = WorkQueue(workers=config.workers)
        metrics.watch_queue(queue.depth, queue.oldest_seconds)
        metrics.leader.set_function(lambda: float(election.held()))
        health = Health(
            queue_age=queue.oldest_seconds,
            leads=election.held,
            longest_list_seconds=3.0 * config.resync_seconds + 60.0,
        )
        operator = Operator(
            config=config,
            access=access,
            client=client,
            election=election,
            metrics=metrics,
            queue=queue,
            health=health,
        )
        async with serve(config.port, health, metrics) as port:
            log.info("probes and metrics are served on port %d", port)
            return await _lead(operator, stop)


async def _lead(operator: Operator, stop: asyncio.Event) -> int:
    stopping = asyncio.create_task(stop.wait())
    acquiring = asyncio.create_task(operator.election.acquire(_log_once()))
    await asyncio.wait({stopping, acquiring}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        acquiring.cancel()
        await operator.election.release()
        return 0
    acquiring.result()
    log.info("%s leads", operator.config.identity)
    operator.health.begin()
    loop = asyncio.get_running_loop()
    failed = asyncio.Event()
    shell = Shell(
        access=operator.access,
        namespaces=operator.config.namespaces,
        tell=lambda *event: _call(loop, operator.hear, *event),
        ended=lambda: _call(loop, failed.set),
    )
    shell.start()
    holding = asyncio.create_task(_hold(operator.election))
    working = asyncio.create_task(operator.work())
    others = [asyncio.create_task(part) for part in (operator.resync(), *operator.watches())]
    ends = {stopping, asyncio.create_task(failed.wait()), holding, working, *others}
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    broken = [task for task in done if task is not stopping]
    for task in broken:
        log.error("a part of the operator ended: %s", task.exception() or "kopf stopped watching")
    log.info("stopping: calls in flight are finished, nothing new is begun")
    operator.client.close_intake()
    operator.queue.stop()
    shell.stop()
    await asyncio.wait({working}, timeout=DRAIN_SECONDS)
    for task in (holding, working, *others):
        task.cancel()
    await operator.election.release()
    return 1 if broken else 0


async def _hold(election: Election) -> None:
    try:
        await election.hold()
    except LeaseLostError as error:
        # Somebody else may lead already: not even a call in flight is waited for.
        log.critical("%s", error)
        logging.shutdown()
        os._exit(1)


def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)


def _log_once() -> Any:
    last: list[str] = []

    def told(reason: str) -> None:
        if last != [reason]:
            log.info("waiting: %s", reason)
            last[:] = [reason]

    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; return the exit code."""
    try:
        config = read_config(sys.argv[1:] if arguments is None else arguments)
        set_up_logs(config.log_level)
        return asyncio.run(operate(config))
    except AutoselError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
