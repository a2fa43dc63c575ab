"""Where set-up leaves things and where a run writes, all below the checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLUICE_DIR = ROOT / ".sluice"
BROKER_JARS = SLUICE_DIR / "jars" / "kafka"
CONNECTOR_JAR = ROOT / "jobs" / "connector" / "target" / "sluice-connector.jar"
METRICS_JAR = CONNECTOR_JAR.with_name("sluice-connector-metrics.jar")
KAFKA_SETTINGS = ROOT / "kafka"
JOB_FILE = ROOT / "jobs" / "pipeline.py"
RUNS = SLUICE_DIR / "runs"


class SetupMissing(Exception):
    """Something that set-up makes is not there; `make setup` mends it."""


def java() -> str:
    """The java to run: JAVA_HOME's, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not found or not Path(found).exists():
        raise SetupMissing("no java found; install Java 17 (apt-get install openjdk-17-jdk-headless) or set JAVA_HOME")
    return found


def flink_home() -> Path:
    """The Flink distribution inside the installed PyFlink, found without importing it."""
    from importlib.util import find_spec

    spec = find_spec("pyflink")
    if spec is None or not spec.submodule_search_locations:
        raise SetupMissing("apache-flink is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0])


def broker_jars() -> Path:
    if not any(BROKER_JARS.glob("kafka_2.13-*.jar")):
        raise SetupMissing(f"no broker jars in {BROKER_JARS}; run `make setup`")
    return BROKER_JARS


def metrics_jar() -> Path:
    """The jar of Flink's metrics reporter."""
    if not METRICS_JAR.is_file():
        raise SetupMissing(f"{METRICS_JAR} is missing; run `make setup`")
    return METRICS_JAR
