"""How far the truth is from what planners know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """cv: coefficient of variation of batch times. bias: batches really take 1 + bias as long as those that were measured."""

    cv: float = 0.15
    bias: float = 0.0

    @property
    def name(self) -> str:
        return f"noise {100 * self.cv:.0f} %, bias {100 * self.bias:+.0f} %"


HEADLINE = Level()
LEVELS = (Level(0.05), Level(0.15), Level(0.3), Level(0.15, -0.1), Level(0.15, 0.2))
