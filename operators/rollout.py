"""How a new version takes over from the old one: a state machine `(observation, now) -> steps`.

    loading -> [shadow] -> [canary] -> promoting -> done
    each but the last may end in: rolled back

    loading    the new version is loaded and warmed beside the old one
    shadow     it gets copies of a share of the rows; its answers are compared and counted, never returned
    canary     it answers a share of the rows
    promoting  it takes all rows in one step; the old version finishes what runs and stops

Shadow and canary each last until `for_s` seconds and `for_rows` rows have passed and the least sample is there to judge by
(operators/evidence.py), however long that takes. Rolled back is a version that cannot be loaded, whose replicas die of their own
doing DEATHS_MAX times oftener than the old one's, or against which there is evidence. Without shadow and canary nothing is judged.
Of a stage with state, a version that does not read the keys' states never takes rows, and one whose states the old version does not
read takes over for good: promoting is not rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from operators.evidence import MIN_ROWS, Judge, Served

DEATHS_MAX = 2


class Phase(StrEnum):
    LOADING = "loading"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTING = "promoting"
    DONE = "done"
    ROLLED_BACK = "rolled back"


ENDS = (Phase.DONE, Phase.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """canary, shadow: shares of the rows, 0 = without. agreement: least share of copies that agree, None = any."""

    canary: float = 0.0
    shadow: float = 0.0
    for_s: float = 0.0
    for_rows: int = 0
    agreement: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.canary < 1 and 0 <= self.shadow <= 1):
            raise ValueError(f"canary is {self.canary}, shadow {self.shadow}; use shares from 0 to 1, the canary's below 1")
        if self.for_s < 0 or self.for_rows < 0:
            raise ValueError(f"for {self.for_s} s, {self.for_rows} rows; use no negative numbers")
        if self.agreement is not None and not (self.shadow and 0 <= self.agreement <= 1):
            raise ValueError("agreement goes with a shadow, as a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything since the rollout began.

    loaded    all replicas of the new version are ready
    settled   nothing but what is wanted is left: the old version has stopped
    problem   why the new version could not be loaded
    states    why it may not take the rows, for the states of keys that they bring
    final     the old version does not read what the new one has kept of keys, and so cannot take their rows back
    deaths    of the new version's replicas less the old one's, of their own doing
    copies    what the new version did with copies; agreed: of those compared
    """

    loaded: bool = False
    settled: bool = False
    problem: str | None = None
    states: str | None = None
    final: bool = False
    deaths: int = 0
    new: Served = Served()
    old: Served = Served()
    copies: Served = Served()
    compared: int = 0
    agreed: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """The new version is loaded, and gets nothing yet."""


@dataclass(frozen=True, slots=True)
class ToShadow:
    share: float


@dataclass(frozen=True, slots=True)
class ToCanary:
    share: float


@dataclass(frozen=True, slots=True)
class Promote:
    """The new version takes all rows."""


@dataclass(frozen=True, slots=True)
class Return:
    """The old version takes all rows, the new one stops."""


Step = Load | ToShadow | ToCanary | Promote | Return


class Rollout:
    """bin_ratio: of the latency histograms. `begin` first, then `observe` as often as wanted."""

    def __init__(self, plan: RolloutPlan, bin_ratio: float) -> None:
        self.plan = plan
        self.phase = Phase.LOADING
        self.reason = ""
        """Why it was rolled back; or what is wrong with a version that had taken over for good by then."""
        self._bin_ratio = bin_ratio
        self._since = 0.0
        self._base = Observation()
        self._judge = Judge(bin_ratio)

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    def begin(self) -> list[Step]:
        return [Load()]

    def observe(self, seen: Observation, now: float) -> list[Step]:
        objection = None if self.ended else self._objection(seen)
        if objection is not None and self.is_final(seen):
            self.reason = objection
            return self._enter(Phase.DONE, seen, now)
        if objection is not None:
            return self.abort(objection)
        match self.phase:
            case Phase.LOADING if seen.loaded:
                return self._enter(Phase.SHADOW if self.plan.shadow else self._after_shadow, seen, now)
            case Phase.SHADOW if self._is_over(self._copied(seen).rows, now):
                return self._enter(self._after_shadow, seen, now)
            case Phase.CANARY if self._is_over(seen.new.since(self._base.new).rows, now):
                return self._enter(Phase.PROMOTING, seen, now)
            case Phase.PROMOTING if seen.settled:
                return self._enter(Phase.DONE, seen, now)
        return []

    def abort(self, reason: str) -> list[Step]:
        """Back to the old version, if it is not over."""
        if self.ended:
            return []
        self.phase, self.reason = Phase.ROLLED_BACK, reason
        return [Return()]

    def is_final(self, seen: Observation) -> bool:
        """Whether it can no longer be rolled back, only end."""
        return seen.final and self.phase is Phase.PROMOTING

    def left(self, seen: Observation, now: float) -> tuple[float, int]:
        """Seconds and rows that the phase still lasts at least; 0 where it is no shadow and no canary."""
        if self.phase not in (Phase.SHADOW, Phase.CANARY):
            return 0.0, 0
        rows = self._copied(seen).rows if self.phase is Phase.SHADOW else seen.new.since(self._base.new).rows
        return max(0.0, self._since + self.plan.for_s - now), max(0, max(self.plan.for_rows, MIN_ROWS) - rows)

    def _enter(self, phase: Phase, seen: Observation, now: float) -> list[Step]:
        self.phase, self._since, self._base, self._judge = phase, now, seen, Judge(self._bin_ratio)
        match phase:
            case Phase.SHADOW:
                return [ToShadow(self.plan.shadow)]
            case Phase.CANARY:
                return [ToCanary(self.plan.canary)]
            case Phase.PROMOTING:
                return [Promote()]
        return []

    @property
    def _after_shadow(self) -> Phase:
        return Phase.CANARY if self.plan.canary else Phase.PROMOTING

    def _is_over(self, rows: int, now: float) -> bool:
        return now - self._since >= self.plan.for_s and rows >= max(self.plan.for_rows, MIN_ROWS)

    def _copied(self, seen: Observation) -> Served:
        return seen.copies.since(self._base.copies)

    def _objection(self, seen: Observation) -> str | None:
        if seen.states is not None:
            return seen.states
        if seen.problem is not None:
            return f"it cannot be loaded: {seen.problem}"
        if seen.deaths >= DEATHS_MAX:
            return f"its replicas died {seen.deaths} times oftener than the old version's"
        old = seen.old.since(self._base.old)
        if self.phase is Phase.CANARY:
            return self._judge.objection(seen.new.since(self._base.new), old)
        if self.phase is Phase.SHADOW:
            return self._judge.objection(self._copied(seen), old) or self._disagreement(seen)
        return None

    def _disagreement(self, seen: Observation) -> str | None:
        compared, agreed = seen.compared - self._base.compared, seen.agreed - self._base.agreed
        if self.plan.agreement is None or compared < MIN_ROWS or agreed >= self.plan.agreement * compared:
            return None
        return f"{agreed} of {compared} compared answers agree with the old version's; wanted are {self.plan.agreement:.0%}"
