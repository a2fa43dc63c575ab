"""`python -m bench.peers.set_up [NAME ...]`: makes the peers' environments, or those named; what is there already is left.

    triton      Triton Inference Server with its Python backend, its Python clients and perf_analyzer
    mlserver    MLServer
    kserve      KServe's Python client
    ray         Ray Serve
    libb64      the library that perf_analyzer needs, from Debian
    go          the Go compiler, from Debian where none is on the path
    programs    the closed-loop client and the operator of examples/go

Versions are pinned, all of them, in the files beside this one. The servers run the same torch as Sluice: its folder is the last on
their path, so that everything else is their own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.peers.places import CLOSED_LOOP, GO_OPERATOR, HERE, PACKAGES, PEERS, ROOT, SYSTEM, environment, go

SIZES_MB = {"triton": 390, "mlserver": 300, "kserve": 430, "ray": 470}
WITH_TORCH = ("triton", "mlserver", "ray")
GO_PACKAGES = ("golang-1.19-go", "golang-1.19-src")


class SetupFailed(Exception):
    """A step that did not work; the text says which command, and what it said."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.set_up", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*STEPS, []], metavar="NAME", help=", ".join(STEPS))
    wanted = parser.parse_args().names or list(STEPS)
    PEERS.mkdir(parents=True, exist_ok=True)
    try:
        for name in wanted:
            _step(name)
    except SetupFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _step(name: str) -> None:
    """One step, unless what it is made from is as it was when it was last done."""
    stamp = PEERS / f"{name}.stamp"
    sources = _digest(name)
    if stamp.exists() and stamp.read_text() == sources:
        return
    size = f" ({SIZES_MB[name]} MB)" if name in SIZES_MB else ""
    print(f"==> peer {name}{size}", flush=True)
    begun = time.monotonic()
    STEPS[name]()
    stamp.write_text(sources)
    print(f"    done in {time.monotonic() - begun:.0f} s", flush=True)


def _digest(name: str) -> str:
    files = {
        "libb64": [],
        "go": [],
        "programs": [*sorted((HERE / "closed_loop").glob("*")), *sorted((ROOT / "examples" / "go").glob("*")), ROOT / "operators/protocol/inference.proto"],
    }.get(name, [HERE / f"{name}.txt"])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() + f" {sys.version_info[:2]}\n"


def _environment(name: str) -> None:
    folder = environment(name)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check", "--progress-bar", "off", "-q", "--no-deps"]
    _run([*pip, "-r", str(HERE / f"{name}.txt")])
    if name in WITH_TORCH:
        (folder / PACKAGES / "sluice-torch.pth").write_text(sysconfig.get_path("purelib") + "\n")


def _triton() -> None:
    _environment("triton")
    server = environment("triton") / PACKAGES / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(server / "python_backend_stubs" / version / "triton_python_backend_stub", server / "backends" / "python")  # finds its libraries from there


def _libb64() -> None:
    if not any(Path("/usr/lib").glob("*-linux-gnu/libb64.so.0d")):
        _unpacked("libb64-0d")


def _go() -> None:
    if go() is None:
        _unpacked(*GO_PACKAGES)


def _programs() -> None:
    """Both are built in the cache: nothing is written into the source folders."""
    compiler = go()
    assert compiler is not None
    built = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOMAXPROCS": "2"}
    _run([compiler, "build", "-o", str(CLOSED_LOOP), "."], cwd=HERE / "closed_loop", env=built)
    _run(["bash", str(ROOT / "examples" / "go" / "build.sh"), str(GO_OPERATOR)], env={**built, "GO": compiler, "PYTHON": sys.executable})


STEPS: dict[str, Callable[[], None]] = {
    "triton": _triton,
    "mlserver": lambda: _environment("mlserver"),
    "kserve": lambda: _environment("kserve"),
    "ray": lambda: _environment("ray"),
    "libb64": _libb64,
    "go": _go,
    "programs": _programs,
}


def _unpacked(*names: str) -> None:
    """Debian packages without installing them."""
    downloads = PEERS / "debian"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", "-q", *names], cwd=downloads)
    except SetupFailed:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "update", "-q"])
        _run(["apt-get", "download", "-q", *names], cwd=downloads)
    for name in names:
        for package in downloads.glob(f"{name}_*.deb"):
            _run(["dpkg", "-x", str(package), str(SYSTEM)])
    shutil.rmtree(downloads)


def _run(command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError as error:
        raise SetupFailed(f"{command[0]} is not on this machine; {' '.join(command)} needs it") from error
    if done.returncode:
        raise SetupFailed(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
