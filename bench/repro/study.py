"""What is compared, as values: contenders in cases, cases in a study.

Contenders of a case are paired: with the same seed they meet the same arrivals, the same truth and the same profile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from autoscaler.planner.model import Problem, Share
from autoscaler.policies.policy import Decision, Forecast, Policy, StageState, State
from bench.repro.level import Level
from bench.repro.steps import Steps
from simulator.scenario import Control, Scenario

if TYPE_CHECKING:
    from bench.repro.runs import Found


class Role(StrEnum):
    """PAPER: the system whose paper it is. WHOLE: what parts are taken away from, in its place where there is no paper.

    SAME, ALL: ours with its levers only, with all. ABLATED: a system without one of its parts.
    """

    PAPER = "reproduced"
    WHOLE = "whole"
    BASELINE = "baseline"
    SAME = "ours, same levers"
    ALL = "ours, all levers"
    ABLATED = "ablated"


Make = Callable[[Level, int], tuple[Scenario, Control]]
"""(level, seed) to what is simulated."""


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    role: Role
    make: Make


@dataclass(frozen=True, slots=True)
class Case:
    """One table: contenders on one pipeline and trace. bound: (level, seed) to metrics that no policy can beat, by name; see `bound`.

    steps: what the paper's own figure shows of some of them.
    """

    name: str
    contenders: tuple[Contender, ...]
    bound: Callable[[Level, int], Mapping[str, float]] | None = None
    steps: Steps | None = None

    @property
    def paper(self) -> str | None:
        """The name of the paper's own system, with which the others are compared, or of the whole one."""
        return next((one.name for one in self.contenders if one.role in (Role.PAPER, Role.WHOLE)), None)


@dataclass(frozen=True, slots=True)
class Curve:
    """Cases along one constant, with few seeds. x: its name and unit. measured: the product's own value of it, marked in the figure.

    trade  the first metric over the second, each contender one line: what it trades when it turns its own knob
    """

    name: str
    x: str
    points: tuple[tuple[float, Case], ...]
    measured: float | None = None
    trade: bool = False


@dataclass(frozen=True, slots=True)
class Study:
    """One comparison.

    cases      with all seeds, at the headline level
    levels     other distances between truth and profile at which `at_levels` (names of cases, () = all) are run, with few seeds
    published  as the paper gives it, by case or as words
    assumed    what this reproduction had to assume, a sentence each
    metrics    that the systems are judged by, of `row`'s names: less is better but for accuracy and goodput
    panels     of the figure over time, of `series`' names
    findings   from what was found to sentences, computed
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    published: Mapping[str, object]
    assumed: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    levels: tuple[Level, ...] = ()
    at_levels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("violation_share", "cost")
    panels: tuple[str, ...] = ("rate", "violations", "cost")
    findings: Callable[[Found], list[str]] = field(default=lambda found: [])


def first_shares(policy: Policy, problem: Problem, rate: float, spent_ms: float = 0.0) -> dict[str, tuple[Share, ...]]:
    """What a policy runs when nothing runs yet and the load is known: so every contender starts in its own steady state."""
    state = State(0.0, (rate,) * 10, {stage.name: StageState(()) for stage in problem.stages}, (spent_ms,) if spent_ms else ())
    decision: Decision = policy.decide(state, Forecast(10.0, {0.5: rate, 0.99: rate}), None)
    return {name: target.shares for name, target in decision.targets.items()}
