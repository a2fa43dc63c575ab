"""A profile by formula, and runs as the bench keeps them."""

from __future__ import annotations

from typing import Any

import yaml

from autoscaler.graph.reader import parse_pipeline
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile
from bench.live.contender import Contender
from bench.live.files import PIPELINE, with_slo
from bench.live.load import Load
from bench.live.plans import SIZES, Planner, slo_ms
from bench.live.setting import Setting

SHIPPED = parse_pipeline(PIPELINE.read_text(encoding="utf-8"), str(PIPELINE))
WORK_MS = {"linear": 0.1, "mlp": 0.2, "cnn": 0.5, "ensemble": 1.0}
"""Of one core: (1 + rows) times so much."""


def point(variant: str, batch: int, cores: float) -> Point:
    mean_ms = WORK_MS[variant] * (1 + batch) / cores
    return Point(batch, cores, mean_ms, mean_ms, 1.2 * mean_ms, 1000 * batch / mean_ms, 700.0)


def profile() -> Profile:
    variants = tuple(VariantProfile(variant.name, "cpu", tuple(point(variant.name, batch, cores) for cores in SIZES for batch in (1, 2, 4)), 4.0, 3.5, 1.0)
                     for variant in SHIPPED.stages[0].variants)
    return Profile("live", (StageProfile("classify", variants),), "2026-01-31", "a machine", {"torch": "2"}, "quota")


def setting(rates: tuple[float, ...] = (100.0,) * 20, warm_s: int = 5) -> Setting:
    described = with_slo(slo_ms(SHIPPED, profile()))
    planner = Planner(parse_pipeline(yaml.safe_dump(described), "live.yaml"), profile())
    return Setting(described, planner, Load("a slice", 1, 1.0, rates), warm_s)


def run(contender: Contender = Contender("hpa", "hpa"), repeat: int = 0, attempt: int = 0, **figures: Any) -> dict[str, Any]:
    """Valid, of 10,000 events with 1 % violations, unless it says otherwise."""
    told = {"invalid": [], "violation_share": 0.01, "p99_ms": 80.0, "accuracy": 0.98, "unit_s": 900.0, "cpu_s": 70.0, "decisions": 30, "stalls": 0,
            "late": 100, "shed": 0, "dead_lettered": 0, "unanswered": 0, "events": 10_000, "changes": 4,
            "predicted": {"violation_share": 0.02, "unit_s": 880.0}, "machine": {"waited": 0.1, "others": 0.7}}
    return {"contender": contender.data(), "repeat": repeat, "attempt": attempt, **told, **figures}
