"""An operator with a stored model that needs no training: its answers end with the stored text, so they show the version."""

import os

from operators import repository
from operators.operator import Operator, RowError
from operators.stateful import StatefulOperator
from operators.turns import Applied

MODEL = "words"


class Ending(Operator):
    model = MODEL

    def __init__(self, variant, cores):
        super().__init__(variant, cores)
        self._ending = (variant.model_dir / "ending").read_bytes()
        if self._ending == b"broken":
            raise ValueError("this version cannot be loaded")

    def infer(self, rows):
        if self._ending == b"failing":
            return [RowError("operator-error", "this version answers nothing")] * len(rows)
        return [row + self._ending for row in rows]


class Scheduled(Ending):
    """Its answers end with the scheduling policy that it was loaded with, too."""

    def __init__(self, variant, cores):
        super().__init__(variant, cores)
        self._ending += b" %d" % os.sched_getscheduler(0)


def store(root, version, ending=None, variant="plain"):
    repository.store(root, MODEL, variant, version, {"ending": b" v" + version.encode() if ending is None else ending}, {})


TALLIES = "tallies"


class Tally(StatefulOperator):
    """Counts a key's events in 4 bytes times the version of its states, which the stored model says, as it does which others are read."""

    model = TALLIES

    def __init__(self, variant, cores):
        super().__init__(variant, cores)
        said = repository.facts(variant.model_dir)
        self.state_version = said["writes"]
        self.older_states = dict.fromkeys(said["reads"], self._widened)

    def apply(self, turns):
        states, answers = [], []
        for state, events in turns.each():
            assert len(state) in (0, 4 * self.state_version), f"{len(state)} bytes of state"
            seen = int.from_bytes(state, "little")
            answers += [b"%d v%s" % (seen + number, self.variant.version.encode()) for number in range(1, len(events) + 1)]
            states.append((seen + len(events)).to_bytes(4 * self.state_version, "little"))
        return Applied(states, answers)

    def _widened(self, state):
        return int.from_bytes(state, "little").to_bytes(4 * self.state_version, "little")


def store_tally(root, version, writes, reads=()):
    repository.store(root, TALLIES, "plain", version, {"nothing": b""}, {"writes": writes, "reads": list(reads)})
