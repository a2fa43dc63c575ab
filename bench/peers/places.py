"""Where `make peers` puts what it makes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from jobs.embedded.paths import ROOT, SLUICE_DIR, SetupMissing

HERE = Path(__file__).parent
PEERS = SLUICE_DIR / "peers"
SYSTEM = PEERS / "system"
"""Debian packages, unpacked: no root needed, and nothing outside is changed."""
PACKAGES = "lib/python3.11/site-packages"
CLOSED_LOOP = PEERS / "closed-loop"
GO_OPERATOR = PEERS / "go-operator"


def environment(peer: str) -> Path:
    return PEERS / peer


def there(path: Path) -> Path:
    """The path; SetupMissing where `make peers` has not made it."""
    if not path.exists():
        raise SetupMissing(f"{path} is missing; run `make peers`")
    return path


def python(peer: str) -> Path:
    return there(environment(peer) / "bin" / "python")


def packages(peer: str) -> Path:
    return there(environment(peer) / PACKAGES)


def go() -> str | None:
    """The Go compiler: the one on the path, else Debian's, unpacked; None without either."""
    unpacked = sorted(SYSTEM.glob("usr/lib/go-*/bin/go"))
    return shutil.which("go") or (str(unpacked[-1]) if unpacked else None)


def perf_analyzer() -> tuple[tuple[str, ...], dict[str, str]]:
    """Its command and environment."""
    libraries = [packages("triton") / "nvidia" / "cuda_runtime" / "lib", *SYSTEM.glob("usr/lib/*-linux-gnu")]
    path = os.pathsep.join(map(str, libraries))
    return (str(there(environment("triton") / "bin" / "perf_analyzer")),), {"LD_LIBRARY_PATH": path}


__all__ = ["CLOSED_LOOP", "GO_OPERATOR", "HERE", "PEERS", "ROOT", "SYSTEM", "SetupMissing"]
