"""Every policy by the name people type, each listed once.

`build` takes the problem (the model with any rate) and returns the policy with its paper's or product's own defaults; more fields are set
with `dataclasses.replace`. Adding a policy is one import and one line here; the shared suite then runs over it.
"""

from __future__ import annotations

from autoscaler.planner.model import Problem
from autoscaler.policies.infadapter import InfAdapter, ms_plus
from autoscaler.policies.policy import Policy, PolicySpec

SPECS: tuple[PolicySpec, ...] = (
    PolicySpec("infadapter", "InfAdapter: a set of variants at once, accuracy against cores", InfAdapter.of),
    PolicySpec("ms_plus", "Model-Switching+: one variant at a time, InfAdapter's baseline", ms_plus),
)

POLICIES: dict[str, PolicySpec] = {spec.name: spec for spec in SPECS}


def policy(name: str, problem: Problem) -> Policy:
    """The policy of that name for the problem. KeyError with the names there are."""
    if name not in POLICIES:
        raise KeyError(f"no policy is called {name!r}; there are {', '.join(sorted(POLICIES)) or 'none'}")
    return POLICIES[name].build(problem)
