"""Which replicas share a GPU, and how much they slow each other: product over the others on it of factor(own variant, other variant)."""

from __future__ import annotations

from collections.abc import Mapping


class Gpus:
    """slots: of one GPU, by kind of device; a kind it does not name is not shared. factors: by (own, other) variant, 1 where not measured."""

    def __init__(self, slots: Mapping[str, float], factors: Mapping[tuple[str, str], float]) -> None:
        self.shared = bool(slots) and bool(factors)
        self._slots = slots
        self._factors = factors
        self._gpus: dict[str, list[dict[object, tuple[str, float]]]] = {kind: [] for kind in slots}
        self._place: dict[object, dict[object, tuple[str, float]]] = {}

    def place(self, replica: object, device: str, variant: str, units: float) -> None:
        """On the fullest GPU that still holds it, else on an empty one."""
        if device not in self._slots:
            return
        gpus = self._gpus[device]
        fitting = [gpu for gpu in gpus if _used(gpu) + units <= self._slots[device] + 1e-9]
        gpu = max(fitting, key=_used, default=None)
        if gpu is None:
            gpu = {}
            gpus.append(gpu)
        gpu[replica] = (variant, units)
        self._place[replica] = gpu

    def remove(self, replica: object) -> None:
        gpu = self._place.pop(replica, None)
        if gpu is not None:
            del gpu[replica]

    def factor(self, replica: object) -> float:
        """Of the replica's batches, as its GPU is shared now."""
        gpu = self._place.get(replica)
        if gpu is None:
            return 1.0
        own, product = gpu[replica][0], 1.0
        for other, (variant, _) in gpu.items():
            if other is not replica:
                product *= self._factors.get((own, variant), 1.0)
        return product


def _used(gpu: dict[object, tuple[str, float]]) -> float:
    return sum(units for _, units in gpu.values())
