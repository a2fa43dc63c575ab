"""The plugin directory of Flink's processes: what the distribution brings, and our reporter of metrics.

Flink's own Prometheus reporter listens on all addresses and has no option for one; ours is a small class over it
(`io.sluice.metrics`), which Flink loads from a plugin directory with both jars.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from jobs.embedded import paths
from jobs.embedded.ports import HOST

FACTORY = "io.sluice.metrics.BoundReporterFactory"
NAME = "metrics-sluice"


def lay_out(directory: Path) -> None:
    """Makes the plugin directory; a second time it changes nothing but our jar."""
    own = directory / NAME
    own.mkdir(parents=True, exist_ok=True)
    theirs = paths.flink_home() / "plugins"
    for plugin in theirs.iterdir():
        if plugin.is_dir():
            _link(directory / plugin.name, plugin)
    for jar in (theirs / "metrics-prometheus").glob("flink-metrics-prometheus-*.jar"):
        _link(own / jar.name, jar)
    shutil.copy2(paths.metrics_jar(), own / paths.METRICS_JAR.name)  # a copy: a build during the run must not pull it away


def reporter(first_port: int, ports: int) -> dict[str, str]:
    """Flink's settings of the reporter; each process takes the first of the ports that is free."""
    return {
        "metrics.reporter.prom.factory.class": FACTORY,
        "metrics.reporter.prom.host": HOST,
        "metrics.reporter.prom.port": f"{first_port}-{first_port + ports - 1}",
    }


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)
