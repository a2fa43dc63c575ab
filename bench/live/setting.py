"""What all runs of a study have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaler.planner.model import Share
from autoscaler.planner.profile import Profile, written
from bench.live.contender import Contender
from bench.live.files import Files, write
from bench.live.load import Load
from bench.live.plans import Planner


@dataclass(frozen=True, slots=True)
class Setting:
    """described: the pipeline file as a mapping, with the SLO. planner: on the same file. warm_s: before the counted time."""

    described: Mapping[str, Any]
    planner: Planner
    load: Load
    warm_s: int

    @property
    def profile(self) -> Profile:
        return self.planner.profile

    @property
    def slo_ms(self) -> float:
        return self.planner.pipeline.slo_ms

    def first(self, contender: Contender) -> Share:
        return self.planner.first(contender, self.load)

    def files(self, folder: Path, name: str, contender: Contender) -> Files:
        """Written there, under that name."""
        return write(folder, name, dict(self.described), self.profile, contender, self.first(contender))

    def times_s(self, repeat: int, seed: int) -> tuple[float, ...]:
        """Send times from the start of the warm-up; the same for all contenders of a repeat."""
        return self.load.times_s(self.warm_s, 1000 * seed + repeat)

    def digest(self, seed: int) -> str:
        """Runs with another one are not comparable."""
        told = [self.described, written(self.profile), self.load.name, self.load.time_factor, self.load.rates, self.warm_s, seed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
