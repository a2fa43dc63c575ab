"""Whether the policies give what was published or computed from the published inputs: equal, explained by a closed list, or neither.

    themis       horizontal optima of its two pipelines at four rates: batches, instances, cost, end-to-end ms
    infadapter   optima at eight rates and two weights from its capacity table: cores of each variant, objective
    sponge       its 600 s run on two latency scales and three payloads: mean cores, most cores, seconds nothing is enough for
    proteus      the program aggregated by kind of device against the published one device by device, on small random cases, gap 0: equal
                 value. With the released gap 0.5 a program may stop anywhere within its bound, so equal there means: both find a placement
                 or neither, and each value is within optimum / 1.5 and the optimum
    ipa          every different (accuracy, cost) step of the video figures: made by the policy at a rate of the window from the complete
                 profile rows, or else the cause (bench.published.ipa_causes). Steps of the audio figures need variants without any
                 complete row; they are counted as `without_profile` and not compared, and one that is not so is unexplained

    compared = equal + explained + unexplained
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.planner.model import Option
from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.policy import Forecast, StageState, State
from autoscaler.policies.proteus_milp import Fleet, Hosting, Placement, aggregated, each_device
from autoscaler.policies.sponge import Sponge
from bench.published import infadapter, ipa, sponge, themis
from bench.published.ipa_causes import Cause, Reference
from bench.report import progress, table

THEMIS = (  # pipeline, events/s, batches, instances, cost, end-to-end ms (None: not published)
    ("video", 20, (1, 1), (2, 2), 78, 99), ("video", 50, (2, 1), (3, 3), 117, 240),
    ("video", 100, (2, 1), (6, 5), 215, 194), ("video", 183, (2, 2), (11, 8), 372, 230),
    ("sentiment", 20, (1, 1), (4, 1), 99, None), ("sentiment", 50, (2, 1), (9, 2), 218, 371),
    ("sentiment", 100, (3, 1), (14, 3), 337, 459), ("sentiment", 183, (3, 1), (25, 5), 595, 417),
)
INFADAPTER = (  # events/s, cores of ResNet 18, 34, 50, 101, 152 at alpha 0.05, its objective, cores at alpha 0.2
    (30, (0, 0, 0, 0, 11), 0.75462, (0, 0, 4, 0, 0)), (50, (0, 0, 5, 3, 0), 0.74337, (0, 0, 7, 0, 0)),
    (80, (0, 0, 10, 0, 0), 0.73550, (0, 0, 10, 0, 0)), (100, (0, 0, 13, 0, 0), 0.72800, (4, 3, 0, 0, 0)),
    (150, (0, 0, 19, 0, 0), 0.71300, (8, 0, 0, 0, 0)), (200, (4, 0, 16, 0, 0), 0.68788, (11, 0, 0, 0, 0)),
    (250, (8, 2, 10, 0, 0), 0.67001, (14, 0, 0, 0, 0)), (300, (13, 0, 7, 0, 0), 0.65846, (16, 0, 0, 0, 0)),
)
SPONGE = (  # latency scale, KB, mean cores, most cores, seconds without a size that is enough
    (1.0, 100, 1.00, 2, 0), (1.0, 200, 1.04, 2, 0), (1.0, 500, 1.49, 16, 2),
    (2.0, 100, 2.03, 3, 0), (2.0, 200, 2.22, 5, 0), (2.0, 500, 3.20, 16, 4),
)
RELEASED_GAP = 0.5


@dataclass(frozen=True, slots=True)
class Compared:
    """One published figure beside ours. cause: why they differ, None where they are equal or nothing on the list explains it."""

    reference: str
    what: str
    published: object
    found: object
    equal: bool
    cause: Cause | None = None


def run(quick: bool, seed: int) -> dict:
    """compared, equal, explained, unexplained; the same by reference; causes by name; audio steps that no row can produce."""
    results: list[Compared] = []
    for name, compare in REFERENCES.items():
        found = list(compare(quick, seed))
        results += found
        progress(f"{name}: {sum(one.equal for one in found)} of {len(found)} equal")
    audio, covered = without_profile()
    results += covered
    totals = counted(results)
    by_reference = {name: counted([one for one in results if one.reference == name]) for name in REFERENCES}
    causes = Counter(str(one.cause) for one in results if one.cause is not None)
    print(table(["reference", "compared", "equal", "explained", "unexplained"], [[name, *counts.values()] for name, counts in by_reference.items()]))
    for one in results:
        if not one.equal:
            print(f"{one.reference} {one.what}: published {one.published}, found {one.found}: {one.cause or 'unexplained'}")
    return {**totals, "by_reference": by_reference, "causes": dict(causes), "without_profile": audio}


def counted(results: list[Compared]) -> dict[str, int]:
    """compared = equal + explained + unexplained."""
    equal = sum(one.equal for one in results)
    explained = sum(not one.equal and one.cause is not None for one in results)
    return {"compared": len(results), "equal": equal, "explained": explained, "unexplained": len(results) - equal - explained}


def compare_themis(quick: bool, seed: int) -> Iterator[Compared]:
    for pipeline, rate, *published in THEMIS:
        given = themis.released(pipeline, rate)
        state = State(0.0, (float(rate),), {stage.name: StageState(()) for stage in given.stages})
        targets = Fa2(given).decide(state, Forecast(10.0, {})).targets
        shares = [targets[stage.name].shares[0] for stage in given.stages]
        taken = sum(share.option.latency_ms + PUBLISHED_SIZING.wait_ms(share.option, rate, share.replicas) for share in shares)
        found = [tuple(share.option.batch for share in shares), tuple(share.replicas for share in shares),
                 round(sum(share.replicas * share.option.cost for share in shares), 6), taken if published[3] is not None else None]
        yield Compared("themis", f"{pipeline} at {rate} events/s", published, found, found == published)


def compare_infadapter(quick: bool, seed: int) -> Iterator[Compared]:
    variants = ("18", "34", "50", "101", "152")
    for rate, cores, objective, at_greater_alpha in INFADAPTER:
        for alpha, published in ((0.05, cores), (0.2, at_greater_alpha)):
            policy = replace(infadapter.policy(), alpha=alpha)
            shares, reason = policy.choose(policy.problem.stages[0], rate, {"152": 20}, infadapter.CORES)
            held = {share.option.variant: round(share.option.units) for share in shares}
            found = tuple(held.get(variant, 0) for variant in variants)
            right_value = alpha != 0.05 or f"objective {objective:.5f} " in reason
            yield Compared("infadapter", f"{rate} events/s, alpha {alpha}", published, found, found == published and right_value)


def compare_sponge(quick: bool, seed: int) -> Iterator[Compared]:
    for scale, payload, *published in SPONGE:
        policy = Sponge(sponge.problem(scale))
        decisions = [policy.decide(State(float(second), (sponge.RATE,), {"detect": StageState(())}, (spent,)), Forecast(1.0, {}))
                     for second, spent in enumerate(sponge.spent_ms(payload))]
        cores = [decision.targets["detect"].shares[0].option.units for decision in decisions]
        late = sum("nothing serves them in time" in decision.reason for decision in decisions)
        found = [round(math.fsum(cores) / len(cores), 2), max(cores), late]
        yield Compared("sponge", f"x{scale:g}, {payload} KB", published, found, found == published)


def compare_proteus(quick: bool, seed: int) -> Iterator[Compared]:
    for case in range(20 if quick else 200):
        fleet = small_fleet(np.random.default_rng([seed, case]))
        beta = (1.05, 1.0, 0.6)[case % 3]
        best, apart = aggregated(fleet, beta), each_device(fleet, beta)
        yield Compared("proteus", f"case {case}, gap 0", _value(apart), _value(best), _same(best, apart))
        loose = [solve(fleet, beta, RELEASED_GAP) for solve in (aggregated, each_device)]
        yield Compared("proteus", f"case {case}, gap {RELEASED_GAP}", _value(apart), [_value(one) for one in loose],
                       all(_within(one, apart, RELEASED_GAP) for one in loose))


def compare_ipa(quick: bool, seed: int) -> Iterator[Compared]:
    reference = Reference()
    for step in ipa.steps("video"):
        equal = reference.equal(step)
        what = f"series {step.series} {step.workload} {step.system}"
        yield Compared("ipa", what, (step.accuracy, step.cost), (step.accuracy, step.cost) if equal else None, equal,
                       None if equal else reference.cause(step))


def without_profile() -> tuple[int, list[Compared]]:
    """How many steps of the audio figures need a variant without a complete row, and the rest, compared and not equal."""
    reference = Reference()
    found = [step for pipeline in ("audio-qa", "audio-sent") for step in ipa.steps(pipeline)]
    lacking = [step for step in found if reference.lacks_rows(step)]
    rest = [Compared("ipa", f"{step.pipeline} series {step.series} {step.workload} {step.system}", (step.accuracy, step.cost), None, False)
            for step in found if step not in lacking]
    return len(lacking), rest


def small_fleet(draw: np.random.Generator) -> Fleet:
    """Up to three families of up to three variants on two kinds, at most six devices, demand about what they carry."""
    devices = {"cpu": float(draw.integers(1, 5)), "gpu": float(draw.integers(0, 3))}
    hostings = []
    for family in range(draw.integers(1, 4)):
        for place, accuracy in enumerate(sorted(draw.uniform(50, 100, draw.integers(1, 4)))):
            for kind, speed in (("cpu", 1.0), ("gpu", 5.0)):
                rows = max(math.floor(draw.integers(5, 60) * speed / (place + 1)), 1)
                option = Option(f"{family}.{place}", 1, 1.0, 1000 / rows, rows, accuracy / 100, 1.0, kind)
                hostings.append(Hosting(str(family), option, float(rows), float(accuracy)))
    demand = {family: float(draw.integers(1, 60)) for family in dict.fromkeys(hosting.family for hosting in hostings)}
    return Fleet(tuple(hostings), devices, demand)


def _value(placement: Placement | None) -> float | None:
    return None if placement is None else round(placement.value, 6)


def _same(one: Placement | None, other: Placement | None) -> bool:
    return (one is None) == (other is None) and (one is None or other is None or abs(one.value - other.value) <= 2e-6)


def _within(one: Placement | None, best: Placement | None, gap: float) -> bool:
    if one is None or best is None:
        return one is best
    return best.value / (1 + gap) - 2e-6 <= one.value <= best.value + 2e-6


REFERENCES: dict[str, Callable[[bool, int], Iterator[Compared]]] = {
    "themis": compare_themis, "infadapter": compare_infadapter, "sponge": compare_sponge, "proteus": compare_proteus, "ipa": compare_ipa,
}
