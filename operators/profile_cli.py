"""The command that measures a pipeline's stages on this machine: `sluice profile FILE`."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from autoscaler.graph.errors import PipelineError
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.profile import profile_path, written
from jobs.options import Models, PipelineFile
from operators import repository
from operators.cores import EIGHTHS, cores_of, eighths

VERSIONS = ("numpy", "torch")
BUSY = 0.5
"""Load average of the last minute from which on other work is said to disturb."""


def profile(
    file: PipelineFile,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write it; default NAME.profile.yaml beside the pipeline.")] = None,
    inputs: Annotated[str | None, typer.Option(metavar="NAME|PATH", help="digits, scenes, a file of lines or a directory of files.")] = None,
    events: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Source events that the stages' rows are made of.")] = 500,
    cores: Annotated[
        str | None, typer.Option("--cores", metavar="LIST", help="Cores of a replica, as in 0.125,0.5,1; default 1 to all that this machine has.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few batches of each: to see that it works.")] = False,
    models: Models = None,
) -> None:
    """Measure each stage's variants, batches and cores in real replica processes, and write the profile that plans are made of."""
    from operators.profiling import QUICK, Effort, ProfilingError, measure

    began = time.perf_counter()
    try:
        pipeline = read_pipeline(file)
        if os.getloadavg()[0] > BUSY:
            typer.echo(f"other work uses this machine (load average {os.getloadavg()[0]:.1f}): the figures will be too slow", err=True)
        source = _rows(inputs or ("scenes" if pipeline.name.startswith("scenes") else "digits"), events)
        effort = replace(QUICK if quick else Effort(), cores=_cores(cores))
        found = asyncio.run(measure(pipeline, source, models or repository.default_root(), effort, typer.echo))
        versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONS}}
        found = replace(found, at=time.strftime("%Y-%m-%d"), machine=this_machine(), versions=versions)
        place = out or profile_path(file)
        place.write_text(f"# Measured by `sluice profile`; times of one batch.\n{written(found)}", encoding="utf-8")
    except (PipelineError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except (ProfilingError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{place}, {time.perf_counter() - began:.0f} s")


def _cores(text: str | None) -> tuple[float, ...]:
    """In ascending order, whole ones as int. ValueError names what is no number of cores of this machine."""
    found: set[float] = set()
    for part in text.split(",") if text else ():
        try:
            count = eighths(float(part))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"--cores has {part.strip()!r}; use multiples of 0.125, divided by commas") from error
        if count > EIGHTHS * len(os.sched_getaffinity(0)):
            raise ValueError(f"--cores has {part.strip()}; this machine has {len(os.sched_getaffinity(0))}")
        found.add(cores_of(count))
    return tuple(sorted(found))


def _rows(name: str, events: int) -> list[bytes]:
    from jobs.producer import samples_named

    return [sample.value for sample in samples_named(name)[:events]]


def this_machine() -> str:
    """Processor, cores that this process may use, memory."""
    kind = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        kind = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), kind)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{kind}, {len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GB"
