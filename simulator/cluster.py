"""The units there are of each kind, who holds them, and who waits for them.

A replica holds its units from when it is granted them until it has stopped, ready or not; what does not fit waits in order of asking, and
one that fits may pass one that does not. `cost` is held like a kind of which there is any amount: replicas times the cost of their option.

    held_s(kind)  integral of the units held, unit-seconds        used_s(kind)  of those in batches
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

COST = "cost"
NEAR = 1e-9


@dataclass(slots=True, eq=False)
class Ask:
    """Units by kind that somebody waits for. granted: called when they are there, with the time."""

    units: Mapping[str, float]
    granted: Callable[[float], None]


class Cluster:
    """devices: units of each kind; a kind it does not name is unlimited."""

    def __init__(self, devices: Mapping[str, float]) -> None:
        self._free = dict(devices)
        self._asks: list[Ask] = []
        self._held: dict[str, float] = {}
        self._held_s: dict[str, float] = {}
        self._at_s = 0.0

    @property
    def waiting(self) -> int:
        return len(self._asks)

    def held(self) -> dict[str, float]:
        """Units by kind, now."""
        return dict(self._held)

    def held_s(self, now_s: float) -> dict[str, float]:
        """Unit-seconds by kind so far."""
        self._integrate(now_s)
        return dict(self._held_s)

    def ask(self, units: Mapping[str, float], granted: Callable[[float], None], now_s: float) -> Ask | None:
        """Grants at once where it fits, else later; None when it was granted."""
        ask = Ask(units, granted)
        if self._fits(units):
            self._grant(ask, now_s)
            return None
        self._asks.append(ask)
        return ask

    def withdraw(self, ask: Ask) -> None:
        self._asks.remove(ask)

    def release(self, units: Mapping[str, float], now_s: float) -> None:
        self._integrate(now_s)
        for kind, amount in units.items():
            self._held[kind] = self._held.get(kind, 0.0) - amount
            if kind in self._free:
                self._free[kind] += amount
        for ask in list(self._asks):
            if ask in self._asks and self._fits(ask.units):
                self._asks.remove(ask)
                self._grant(ask, now_s)

    def _grant(self, ask: Ask, now_s: float) -> None:
        self._integrate(now_s)
        for kind, amount in ask.units.items():
            self._held[kind] = self._held.get(kind, 0.0) + amount
            if kind in self._free:
                self._free[kind] -= amount
        ask.granted(now_s)

    def _fits(self, units: Mapping[str, float]) -> bool:
        return all(amount <= self._free[kind] + NEAR for kind, amount in units.items() if kind in self._free and amount > 0)

    def _integrate(self, now_s: float) -> None:
        for kind, units in self._held.items():
            self._held_s[kind] = self._held_s.get(kind, 0.0) + units * (now_s - self._at_s)
        self._at_s = now_s
