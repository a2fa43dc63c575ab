"""Runs the operator service of one pipeline until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, start_http_server

from autoscaler.graph.pipeline import Pipeline
from operators import control, repository, server
from operators.extensions import Extensions, is_loopback
from operators.metrics import StageMetrics
from operators.publisher import Publisher
from operators.serving import Serving, StartError

log = logging.getLogger(__name__)

TELEMETRY_S = 1.0
PRESSED_S = 0.05
"""Between looks at whether more arrives than what runs can carry."""
SOONEST_S = 0.2
DRAIN_TIMEOUT_S = 20.0
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where the service listens. A port of 0 is any free one; None switches that listener off.

    unix   path of a further gRPC socket
    kafka  keyword arguments of kafka-python's clients; empty = telemetry by HTTP only
    remote_control  callers may load and unload stages and share memory although they may be on other machines
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int | None = 8000
    metrics_port: int | None = 8002
    unix: str | None = None
    repository: Path = field(default_factory=repository.default_root)
    kafka: Mapping[str, Any] = field(default_factory=dict)
    remote_control: bool = False


def serve(
    pipeline_path: Path | str,
    grpc_port: int = 8001,
    http_port: int | None = 8000,
    metrics_port: int | None = 8002,
    host: str = "127.0.0.1",
    bootstrap: str | None = None,
    repository: Path | str | None = None,
    unix: str | None = None,
    kafka: Mapping[str, Any] | None = None,
    remote_control: bool = False,
) -> None:
    """Serves the pipeline file until SIGTERM or SIGINT; StartError, OSError or the reader's error when it cannot.

    bootstrap: brokers that telemetry goes to; kafka: further keyword arguments of kafka-python's clients.
    """
    from autoscaler.graph.reader import read_pipeline

    clients = {**(kafka or {}), "bootstrap_servers": bootstrap} if bootstrap else {}
    root = {} if repository is None else {"repository": Path(repository)}
    settings = ServeSettings(host, grpc_port, http_port, metrics_port, unix, kafka=clients, remote_control=remote_control, **root)
    asyncio.run(run(read_pipeline(Path(pipeline_path)), settings))


async def run(pipeline: Pipeline, settings: ServeSettings, started: Callable[[int, int | None], None] | None = None) -> None:
    """`started` is told the gRPC and HTTP ports once every stage is ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.freeze()
    serving = Serving(pipeline, settings.repository)
    if not serving.stages:
        raise StartError(f"pipeline {pipeline.name} has no stage with an operator of its own: nothing to serve")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(serving.close)
        extensions = Extensions(serving, settings.remote_control or is_loopback(settings.host))
        stack.callback(extensions.memory.close)
        calls = server.InferenceServer(extensions)
        rpc, port = server.build(calls, extensions, f"{settings.host}:{settings.grpc_port}", settings.unix)
        stack.push_async_callback(rpc.stop, GRACE_S)
        http_port = await _listen_http(extensions, settings, stack)
        _listen_metrics(serving, settings, stack)
        telemetry = asyncio.create_task(_telemetry(serving, settings))
        stack.callback(telemetry.cancel)
        await _or_stopped(serving.start(), stop)
        if not stop.is_set():
            await rpc.start()
            log.info("pipeline %s: gRPC on %s:%d, HTTP on port %s", pipeline.name, settings.host, port, http_port)
            if started is not None:
                started(port, http_port)
            await stop.wait()
            await _drain(serving, calls)


async def _or_stopped(starting: Any, stop: asyncio.Event) -> None:
    start, stopped = asyncio.ensure_future(starting), asyncio.ensure_future(stop.wait())
    await asyncio.wait([start, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if start.done():
        start.result()
    start.cancel()


async def _drain(serving: Serving, calls: server.InferenceServer) -> None:
    log.info("stopping: answering what was sent")
    serving.stopping = True
    calls.stop_reading()
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await serving.drain()
            await calls.flushed()
    except TimeoutError:
        log.warning("not all rows could be answered within %.0f s; their senders will send them again", DRAIN_TIMEOUT_S)


async def _listen_http(extensions: Extensions, settings: ServeSettings, stack: contextlib.AsyncExitStack) -> int | None:
    if settings.http_port is None:
        return None
    runner = control.runner(control.build(extensions))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, settings.host, settings.http_port).start()
    except OSError as error:
        raise OSError(f"cannot listen for HTTP on {settings.host}:{settings.http_port}: {error.strerror}; choose --http-port") from error
    return int(runner.addresses[0][1])


def _listen_metrics(serving: Serving, settings: ServeSettings, stack: contextlib.AsyncExitStack) -> None:
    if settings.metrics_port is None:
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StageMetrics(serving))
    try:
        listener, thread = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        where = f"{settings.host}:{settings.metrics_port}"
        raise OSError(f"cannot listen for metrics on {where}: {error.strerror}; choose --metrics-port") from error
    stack.callback(thread.join)
    stack.callback(listener.server_close)
    stack.callback(listener.shutdown)


async def _telemetry(serving: Serving, settings: ServeSettings) -> None:
    publisher = Publisher(settings.kafka) if settings.kafka else None
    loop = asyncio.get_running_loop()
    due, known = loop.time(), frozenset[str]()
    try:
        while True:
            for record in serving.record():
                if publisher is not None:
                    publisher.publish(record)
            if loop.time() >= due:
                due = max(due + TELEMETRY_S, loop.time())
            known = await due_or_pressed(serving, due, known)
    finally:
        if publisher is not None:
            publisher.close()


async def due_or_pressed(serving: Serving, due: float, known: frozenset[str]) -> frozenset[str]:
    """Waits until then, or until a stage that was not `known` to get too much does; those that do now. A record that is about to be due anyway is
    not made sooner: rates over less than a moment are noise."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while (left := due - loop.time()) > 0:
        await asyncio.sleep(min(left, PRESSED_S))
        pressed = serving.pressed
        if pressed - known and loop.time() - begun >= SOONEST_S and due - loop.time() >= SOONEST_S:
            return pressed
        known &= pressed
    return serving.pressed
