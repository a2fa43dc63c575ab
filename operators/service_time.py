"""How long a replica takes for a batch, learned while it serves.

    l(b) = fixed + per_row * b        seconds from sending a batch of b rows to its answer

Least squares over batch sizes by powers of two, each with the mean rows and seconds of its own batches, in which older ones weigh less
by DECAY each. So what large batches took is not forgotten while only small ones are released: from batches of one row alone, any line
through them is as good as any other. Two guards: an observation far above the prediction counts as OUTLIER times the prediction (a
pause of the machine must not teach a slow model; a real change still gets through in a few batches), and per_row is drawn towards mean
seconds / mean rows with the weight PRIOR * mean rows^2, which decides alone while all batches are equally large.
0 <= per_row <= mean seconds / mean rows, so fixed >= 0.
"""

from __future__ import annotations

from dataclasses import dataclass

DECAY = 0.92  # about the last dozen batches of a size
OUTLIER = 4.0
PRIOR = 0.01


@dataclass(slots=True)
class _Size:
    """Batches of b rows, 2^k <= b < 2^(k+1): their decayed number, and sums of rows and seconds."""

    weight: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        self.weight = DECAY * self.weight + 1
        self.rows = DECAY * self.rows + rows
        self.seconds = DECAY * self.seconds + seconds


class ServiceTime:
    """Of one variant at one number of cores; a new setting starts a new one."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}
        self.fixed_s: float | None = None
        self.per_row_s: float | None = None
        self.longest_s: float | None = None
        """Of all batches, the slowest as it was."""

    def observe(self, rows: int, seconds: float) -> None:
        if self.longest_s is None or seconds > self.longest_s:
            self.longest_s = seconds
        expected = self.of(rows)
        if expected is not None and seconds > OUTLIER * expected > 0:
            seconds = OUTLIER * expected
        size = self._sizes.get(rows.bit_length())
        if size is None:
            size = self._sizes[rows.bit_length()] = _Size()
        size.observe(rows, seconds)
        self._solve()

    def of(self, rows: float) -> float | None:
        """l(rows), None until something was measured."""
        if self.fixed_s is None or self.per_row_s is None:
            return None
        return self.fixed_s + self.per_row_s * rows

    def _solve(self) -> None:
        weight = rows = seconds = squares = products = 0.0
        for size in self._sizes.values():
            weight += size.weight
            rows += size.rows
            seconds += size.seconds
            squares += size.rows * size.rows / size.weight
            products += size.rows * size.seconds / size.weight
        rows, seconds = rows / weight, seconds / weight
        variance = max(0.0, squares / weight - rows * rows)
        covariance = products / weight - rows * seconds
        ratio, pull = seconds / rows, PRIOR * rows * rows
        slope = (covariance + pull * ratio) / (variance + pull)
        self.per_row_s = min(max(slope, 0.0), ratio)
        self.fixed_s = seconds - self.per_row_s * rows
