"""Which policy decides for a pipeline, on what model, and by which forecasts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Persistence, WindowMax
from autoscaler.graph.pipeline import Pipeline
from autoscaler.planner.catalogue import Unmeasured
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.model import Problem
from autoscaler.planner.profile import profile_path, read_profile
from autoscaler.policies.change_times import ChangeTimes, measured
from autoscaler.policies.policy import Policy
from autoscaler.policies.registry import POLICIES, policy
from operators.repository import RepositoryError

REACTIVE = "reactive"
DEFAULT = "sluice"
HORIZON_S = 10.0
PATH_MS = 12.0
"""Of the SLO, for what is no stage: the median of an event's way through broker, Flink and network on two cores (docs/benchmarks.md)."""
PATH_MOST = 0.25
"""Of the SLO, where it is short."""
NOMINAL_RATE = 1.0
"""Events/s of the model; a policy replaces it by what it sees."""

log = logging.getLogger("sluice.autoscaler")


class Forecasts(StrEnum):
    """What a policy is told of the load to come."""

    TRAINED = "trained"
    MAX = "max"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Choice:
    """problem: None where the reactive rule decides. note: why it is not what one may have expected."""

    policy: str
    problem: Problem | None = None
    times: ChangeTimes = ChangeTimes()
    note: str | None = None


def choice(file: Path, pipeline: Pipeline, asked: str | None, profile: Path | None) -> Choice:
    """asked, profile: on the command line; a profile alone asks for DEFAULT. ValueError, Unmeasured or the reader's error where a policy that
    was asked for cannot decide here."""
    name = asked or pipeline.autoscaler.policy
    if name is not None and name != REACTIVE and name not in POLICIES:
        raise ValueError(f"no policy is called {name!r}; use {REACTIVE} or one of {', '.join(sorted(POLICIES))}")
    beside = profile or profile_path(file)
    if name == REACTIVE or (name is None and profile is None):
        return Choice(REACTIVE)
    if not beside.exists():
        raise ValueError(f"{beside}: there is no profile of {pipeline.name}, which policy {name} plans by; measure this machine with `sluice profile {file}`")
    try:
        found = read_profile(beside)
        problem = problem_of(pipeline, found, NOMINAL_RATE, path_ms=min(PATH_MS, PATH_MOST * pipeline.slo_ms))
    except (Unmeasured, ValueError) as error:
        if name is not None:
            raise
        return Choice(REACTIVE, note=f"policy {REACTIVE} instead of {DEFAULT}: {error}")
    return Choice(name or DEFAULT, problem, measured(found))


def built(name: str, problem: Problem, times: ChangeTimes, stabilization_s: float | None) -> Policy:
    """With measured times and that interval where the policy has such fields."""
    made: Any = policy(name, problem)
    given = {"times": times, **({"stabilization_s": stabilization_s} if stabilization_s is not None else {})}
    known = {found.name for found in fields(made)} if is_dataclass(made) else set()
    return replace(made, **{key: value for key, value in given.items() if key in known})  # type: ignore[no-any-return]


def forecaster(kind: Forecasts, repository: Path) -> Forecaster:
    """Of the trained ones the best of late is used; without any the most of the last two minutes."""
    from autoscaler.forecast import store

    if kind is Forecasts.LAST:
        return Persistence(HORIZON_S)
    if kind is Forecasts.TRAINED:
        try:
            return store.load(repository, HORIZON_S).chooser()
        except (RepositoryError, ValueError, OSError) as error:
            log.warning("no trained forecasters (%s); train them with `sluice forecast train`. Until then the most of the last two minutes counts", error)
    return WindowMax(horizon_s=HORIZON_S)
