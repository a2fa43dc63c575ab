"""Rows/s of the same torch network behind four servers, asked by one closed-loop client: this service, Triton (its Python backend), MLServer,
Ray Serve. `make peers` makes the others first.

Single rows at 1, 8 and 32 callers and 64-row requests at 8: a caller sends its next request when it has the answer to the last, on a
connection of its own. The client is a Go program that passes ready-made bytes, so that it is not what is measured. Server with all its
processes on one core, client on the other; one thread for torch. Sluice runs as shipped; each other server at the best, by level, of a grid
of its own batching and instance settings, found in short runs beforehand. The measured runs take turns. Every server's answers are
compared with what the network answers in this process. All speak v2 over gRPC, but Ray Serve, which has no v2: raw tensors over HTTP.

perf_analyzer, Triton's own load generator, then asks Sluice and Triton at the same levels.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack_from
from typing import Any

import numpy as np

from bench.operator_path import newest_version
from bench.peers.contenders import Contender, Pixels, contenders
from bench.peers.models.network import Network
from bench.peers.models.shapes import KIND
from bench.peers.places import CLOSED_LOOP, perf_analyzer, python, there
from bench.peers.servers import START_S
from bench.report import progress, table
from jobs.embedded.processes import Supervisor
from operators.datasets import digits
from operators.repository import default_root

SERVER_CORES, CLIENT_CORES = "0", "1"
DISTINCT = 64
"""Requests of a level that differ; they are sent in turn."""
ANALYZED = ("sluice", "triton")
NOTHING = "no request was answered in the counted time"
LONGER = 10.0


@dataclass(frozen=True, slots=True)
class Level:
    name: str
    rows: int
    callers: int


LEVELS = (Level("rows64", 64, 8), Level("c1", 1, 1), Level("c8", 1, 8), Level("c32", 1, 32))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of a run in seconds: before counting, counted; in the grid and when measured."""

    grid_warm_s: float
    grid_s: float
    warm_s: float
    steady_s: float
    repeats: int


FULL = Lengths(grid_warm_s=1.0, grid_s=2.0, warm_s=2.0, steady_s=5.0, repeats=3)
QUICK = Lengths(grid_warm_s=0.0, grid_s=0.0, warm_s=0.3, steady_s=0.7, repeats=1)


@dataclass(frozen=True, slots=True)
class Measured:
    rows_per_s: float
    p50_ms: float
    p99_ms: float


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    model = Path(newest_version(default_root() / "digits" / KIND))
    there(CLOSED_LOOP)
    for peer in ("triton", "mlserver", "ray"):
        python(peer)
    with tempfile.TemporaryDirectory(prefix="sluice-serving-") as folder:
        bench = _Bench(Path(folder), Network(model), seed)
        servers = contenders(model)
        best = {server.name: dict.fromkeys(LEVELS, server.settings[0]) if quick else _best(bench, server, lengths) for server in servers}
        found: dict[tuple[Level, str], list[Measured]] = {}
        for repeat in range(lengths.repeats):
            for server in servers[repeat % len(servers) :] + servers[: repeat % len(servers)]:
                for level, measured in bench.measure(server, best[server.name], lengths.warm_s, lengths.steady_s).items():
                    found.setdefault((level, server.name), []).append(measured)
        analyzed = {} if quick else {server.name: bench.analyze(server, best[server.name]) for server in servers if server.name in ANALYZED}
    return _report(servers, best, found, analyzed)


class _Bench:
    def __init__(self, folder: Path, network: Network, seed: int) -> None:
        self.folder, self.network = folder, network
        rng = np.random.default_rng(seed)
        images = np.stack([np.frombuffer(digits()[1].row(index), np.uint8) for index in range(len(digits()[1]))])
        self.pixels: dict[Level, list[Pixels]] = {
            level: [images[rng.integers(0, len(images), level.rows)] for _ in range(DISTINCT)] for level in LEVELS
        }
        self._starts = 0

    def measure(self, server: Contender, best: dict[Level, Any], warm_s: float, steady_s: float) -> dict[Level, Measured]:
        """Every level at its best setting; the server is started once for each setting."""
        measured: dict[Level, Measured] = {}
        for setting in dict.fromkeys(best.values()):
            with self.started(server, setting) as address:
                for level in LEVELS:
                    if best[level] == setting:
                        measured[level] = self.ask(server, address, level, warm_s, steady_s)
                        progress(f"{server.name} {level.name}: {measured[level].rows_per_s:,.0f} rows/s, p50 {measured[level].p50_ms:.2f} ms ({setting})")
        return measured

    @contextmanager
    def started(self, server: Contender, setting: Any) -> Iterator[str]:
        self._starts += 1
        place = self.folder / f"{server.name}-{self._starts}"
        child, address = server.start(setting, place / "models", SERVER_CORES)
        with Supervisor(place / "logs") as supervisor:
            supervisor.start(child)
            supervisor.wait_ready([child.name], START_S)
            yield address

    def ask(self, server: Contender, address: str, level: Level, warm_s: float, steady_s: float) -> Measured:
        """Runs the client; AssertionError where an answer is not the network's. A server that answers nothing in the counted time, as one that was
        just started may on a busy machine, is asked once more for LONGER times as long."""
        requests, answers = self.folder / "requests", self.folder / "answers"
        sent = [server.request(pixels) for pixels in self.pixels[level]]
        requests.write_bytes(b"".join(pack("<I", len(one)) + one for one in sent))
        command = ["taskset", "-c", CLIENT_CORES, str(CLOSED_LOOP), "-transport", server.transport, "-address", address, "-path", server.path,
                   "-requests", str(requests), "-answers", str(answers), "-callers", str(level.callers), "-warm", f"{warm_s}s"]
        for counted_s in (steady_s, LONGER * steady_s):
            done = subprocess.run([*command, "-time", f"{counted_s}s"], env={**os.environ, "GOMAXPROCS": "1"}, capture_output=True, text=True,
                                  timeout=120, check=False)
            if NOTHING not in done.stderr:
                break
        if done.returncode:
            raise AssertionError(f"{server.name} {level.name}: {done.stderr.strip()}")
        said = json.loads(done.stdout)
        self._compare(server, level, _parts(answers.read_bytes()))
        return Measured(said["requests"] * level.rows / said["seconds"], said["p50_us"] / 1e3, said["p99_us"] / 1e3)

    def _compare(self, server: Contender, level: Level, answers: list[bytes]) -> None:
        checked = 0
        for pixels, answer in zip(self.pixels[level], answers, strict=True):
            if answer:
                found, expected = server.scores(answer), self.network.scores(pixels)
                if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-3, atol=1e-4):
                    raise AssertionError(f"{server.name} {level.name}: an answer is not the network's")
                checked += 1
        assert checked, "no answer to compare"

    def analyze(self, server: Contender, best: dict[Level, Any]) -> dict[str, float]:
        """Rows/s by level as perf_analyzer sees them."""
        found: dict[str, float] = {}
        for setting in dict.fromkeys(best.values()):
            with self.started(server, setting) as address:
                found |= {level.name: _analyzed(address, level, self.folder) for level in LEVELS if best[level] == setting}
        progress(f"perf_analyzer on {server.name}: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in found.items()))
        return found


def _best(bench: _Bench, server: Contender, lengths: Lengths) -> dict[Level, Any]:
    """Of each level the setting with the most rows/s. A grid of one needs no runs."""
    if len(server.settings) == 1:
        return dict.fromkeys(LEVELS, server.settings[0])
    found = {setting: bench.measure(server, dict.fromkeys(LEVELS, setting), lengths.grid_warm_s, lengths.grid_s) for setting in server.settings}
    print(f"\n{server.name}: rows/s over its grid")
    print(table(["setting", *(level.name for level in LEVELS)],
                [[str(setting), *(found[setting][level].rows_per_s for level in LEVELS)] for setting in server.settings]))
    return {level: max(server.settings, key=lambda setting, level=level: found[setting][level].rows_per_s) for level in LEVELS}


def _analyzed(address: str, level: Level, folder: Path) -> float:
    command, environment = perf_analyzer()
    report = folder / "perf.csv"
    arguments = ["-m", "digits", "-u", address, "-i", "grpc", "-b", str(level.rows), "--concurrency-range", str(level.callers), "-f", str(report),
                 "--string-length", "64", "--measurement-interval", "2000", "--stability-percentage", "999", "--max-trials", "4"]
    done = subprocess.run(["taskset", "-c", CLIENT_CORES, *command, *arguments], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=120, check=False)
    if not report.exists():
        raise AssertionError(f"perf_analyzer {level.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    (line,) = csv.DictReader(report.read_text().splitlines())
    report.unlink()
    return float(line["Inferences/Second"])


def _parts(raw: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(raw):
        (length,) = unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _report(servers: tuple[Contender, ...], best: dict[str, dict[Level, Any]], found: dict[tuple[Level, str], list[Measured]],
            analyzed: dict[str, dict[str, float]]) -> dict:
    rates = {level.name: {server.name: statistics.median(one.rows_per_s for one in found[level, server.name]) for server in servers} for level in LEVELS}
    rows = []
    for level in LEVELS:
        for server in servers:
            runs = found[level, server.name]
            rate = rates[level.name][server.name]
            rows.append([level.name, f"{server.name} ({server.transport})", rate, ", ".join(f"{one.rows_per_s:,.0f}" for one in runs),
                         f"{statistics.median(one.p50_ms for one in runs):.2f}/{statistics.median(one.p99_ms for one in runs):.2f}",
                         f"{rates[level.name]['sluice'] / rate:.2f}", str(best[server.name][level])])
    print("\n" + table(["level", "server", "rows/s (median)", "runs", "p50/p99 ms", "sluice is x", "setting"], rows))
    if analyzed:
        print("\nperf_analyzer, rows/s")
        print(table(["server", *(level.name for level in LEVELS)], [[name, *(one[level.name] for level in LEVELS)] for name, one in analyzed.items()]))
    return {
        **{name: {server: round(rate, 1) for server, rate in by_server.items()} for name, by_server in rates.items()},
        "latency_ms": {level.name: {server.name: {"p50": round(statistics.median(one.p50_ms for one in found[level, server.name]), 3),
                                                  "p99": round(statistics.median(one.p99_ms for one in found[level, server.name]), 3)}
                                    for server in servers} for level in LEVELS},
        "settings": {name: {level.name: str(setting) for level, setting in by_level.items()} for name, by_level in best.items()},
        "perf_analyzer": analyzed,
        "transport": {server.name: server.transport for server in servers},
    }
