"""The batch rules under a burst that a replica cannot keep up with: the same objects that the service runs."""

import numpy as np
import pytest

from autoscaler.planner.model import Share
from operators.batching import AdaptiveRule, AimdRule, EarlyDropRule, FixedRule
from simulator.arrivals import Arrivals, Stamps
from simulator.network import Station, chain
from simulator.outcome import Outcome
from simulator.simulation import simulate
from simulator.truth import Truth
from tests.simulator.builders import AT_ONCE, line, option, scenario

SLO_S = 0.3
RULES = {"adaptive": AdaptiveRule, "early drop": lambda: EarlyDropRule(64), "aimd": AimdRule, "fixed": lambda: FixedRule(16, 0.02)}


def burst(rule, cv=0.2, seed=3):
    """64 rows take 2 + 64 * 0.5 = 34 ms, so 1,882 rows/s are the most: 1,300 rows/s, in the middle for two seconds 2,200."""
    random = np.random.default_rng(seed)
    times = np.concatenate([second + random.random(random.poisson(rate)) for second, rate in enumerate([1300, 1300, 2200, 2200, 1300, 1300, 1300, 1300])])
    found = scenario({"a": (Share(option(batch=64), 1),)}, chain(Station("a", rule=rule)), slo_s=SLO_S, arrivals=Arrivals(Stamps(np.sort(times)), SLO_S),
                     truth=Truth(line(2.0, 0.5), cv), gathering=AT_ONCE)
    return simulate(found, seed=seed, records=False).tally


@pytest.fixture(scope="module")
def tallies():
    return {name: burst(rule) for name, rule in RULES.items()}


def violations(tally):
    return tally.events - int(tally.outcomes[Outcome.IN_TIME])


def test_setting_aside_what_is_lost_beats_dropping_it_and_both_beat_serving_it_first(tallies):
    found = {name: violations(tally) for name, tally in tallies.items()}
    assert found["adaptive"] < found["early drop"] < min(found["aimd"], found["fixed"])
    assert found["adaptive"] < 0.5 * min(found["aimd"], found["fixed"])


def test_only_early_drop_leaves_rows_without_an_answer(tallies):
    expired = {name: int(tally.outcomes[Outcome.EXPIRED]) for name, tally in tallies.items()}
    assert expired.pop("early drop") > 0
    assert expired == {"adaptive": 0, "aimd": 0, "fixed": 0}
    assert all(tally.answered == tally.events for name, tally in tallies.items() if name != "early drop")


@pytest.mark.parametrize("name", ["adaptive", "early drop", "aimd"])
def test_nobody_is_late_below_capacity(name):
    quiet = scenario({"a": (Share(option(batch=64), 1),)}, chain(Station("a", rule=RULES[name])), counts=(900.0,) * 3, slo_s=SLO_S,
                     truth=Truth(line(2.0, 0.5), 0.1), gathering=AT_ONCE)
    assert violations(simulate(quiet, seed=1, records=False).tally) == 0
