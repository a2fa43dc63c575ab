"""How long a replica takes for a batch, learned while it serves.

    l(b) = fixed + per_row * b        seconds from sending a batch of b rows to its answer

Least squares over (rows, seconds) in which older observations weigh less by DECAY each. Two guards: an observation far above the
prediction counts as OUTLIER times the prediction (a pause of the machine must not teach a slow model; a real change still gets
through in a few batches), and per_row is drawn towards mean seconds / mean rows with the weight PRIOR * mean rows^2, which decides
alone while all batches are equally large. 0 <= per_row <= mean seconds / mean rows, so fixed >= 0.
"""

from __future__ import annotations

DECAY = 0.98  # about the last 50 batches
OUTLIER = 4.0
PRIOR = 0.01


class ServiceTime:
    """Of one variant at one number of cores; a new setting starts a new one."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = 0.0
        self._rows_squared = 0.0
        self._seconds = 0.0
        self._product = 0.0
        self.fixed_s: float | None = None
        self.per_row_s: float | None = None

    def observe(self, rows: int, seconds: float) -> None:
        expected = self.of(rows)
        if expected is not None and seconds > OUTLIER * expected > 0:
            seconds = OUTLIER * expected
        self._weight = DECAY * self._weight + 1
        self._rows = DECAY * self._rows + rows
        self._rows_squared = DECAY * self._rows_squared + rows * rows
        self._seconds = DECAY * self._seconds + seconds
        self._product = DECAY * self._product + rows * seconds
        self._solve()

    def of(self, rows: float) -> float | None:
        """l(rows), None until something was measured."""
        if self.fixed_s is None or self.per_row_s is None:
            return None
        return self.fixed_s + self.per_row_s * rows

    def _solve(self) -> None:
        rows, seconds = self._rows / self._weight, self._seconds / self._weight
        variance = max(0.0, self._rows_squared / self._weight - rows * rows)
        covariance = self._product / self._weight - rows * seconds
        ratio, pull = seconds / rows, PRIOR * rows * rows
        slope = (covariance + pull * ratio) / (variance + pull)
        self.per_row_s = min(max(slope, 0.0), ratio)
        self.fixed_s = seconds - self.per_row_s * rows
