"""The pure core imports nothing of the edges, and reads no clock."""

import ast
import importlib.util
import pkgutil
import subprocess
import sys

import pytest

AT_THE_EDGE = {"autoscaler.planner.cli", "autoscaler.planner.plot", "simulator.cli", "simulator.figures", "simulator.parallel",
               *(f"autoscaler.forecast.{name}" for name in ("cli", "store", "training"))}
"""Commands, drawings, files and training beside planner and forecasters."""
WHOLE = ("autoscaler.control", "autoscaler.forecast", "autoscaler.planner", "autoscaler.policies", "simulator")
CORE = [
    "autoscaler.graph.pipeline",
    "operators.actions",
    "operators.batching",
    "operators.cores",
    "operators.evidence",
    "operators.known_states",
    "operators.lanes",
    "operators.mix",
    "operators.operator",
    "operators.queue",
    "operators.rollout",
    "operators.service_time",
    "operators.sliding",
    "operators.slot",
    "operators.stage",
    "operators.state_format",
    "operators.turns",
    "operators.waiting",
    "operators.worth",
    *sorted(f"{package}.{found.name}" for package in WHOLE for found in pkgutil.iter_modules(importlib.import_module(package).__path__)
            if f"{package}.{found.name}" not in AT_THE_EDGE),
]
EDGES = ["pyflink", "kafka", "aiokafka", "faust", "torch", "grpc", "google.protobuf", "kubernetes", "aiohttp", "prometheus_client"]

BLOCKED = """
import sys
for name in {edges}:
    sys.modules[name] = None
for name in {core}:
    __import__(name)
"""


def test_the_core_imports_without_the_edges():
    program = BLOCKED.format(edges=EDGES, core=CORE)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", CORE)
def test_the_core_reads_no_clock(module):
    origin = importlib.util.find_spec(module).origin
    with open(origin, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported & {"time", "datetime", "asyncio", "random", "threading", "os", "socket"} == set()
