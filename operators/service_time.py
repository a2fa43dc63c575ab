"""How long a replica takes for a batch, learned while it serves.

    l(b)  = fixed + per_row * b       seconds from sending a batch of b rows to its answer
    l+(b) = l(b) + DEVIATION * d      and a standard deviation. d: mean of |seconds - l(b)|, each batch moving it by GAIN

Least squares over batch sizes by powers of two, each with the mean rows and seconds of its own batches, in which older ones weigh less
by DECAY each. So what large batches took is not forgotten while only small ones are released: from batches of one row alone, any line
through them is as good as any other. Two guards: an observation far above the prediction counts as OUTLIER times the prediction (a
pause of the machine must not teach a slow model; a real change still gets through in a few batches), and per_row is drawn towards mean
seconds / mean rows with the weight PRIOR * mean rows^2, which decides alone while all batches are equally large.
0 <= per_row <= mean seconds / mean rows, so fixed >= 0. Source of d: Jacobson, Congestion avoidance and control (SIGCOMM 1988), appendix A.
"""

from __future__ import annotations

import sys

DECAY = 0.92  # about the last dozen batches of a size
OUTLIER = 4.0
PRIOR = 0.01
GAIN = 0.125
DEVIATION = 1.25  # of a normal distribution, by its mean absolute one
_NONE = (0.0, 0.0, 0.0, 0.0, 0.0)


Sums = tuple[float, float, float, float, float]
"""Of the batches of b rows, 2^k <= b < 2^(k+1): their decayed number, rows and seconds; rows^2 / number, rows * seconds / number."""


class ServiceTime:
    """Of one variant at one number of cores; a new setting starts a new one."""

    def __init__(self) -> None:
        self._sizes: dict[int, Sums] = {}
        self.fixed_s: float | None = None
        self.per_row_s: float | None = None
        self.rows = 0.0
        """That batches had of late, on average."""
        self.margin_s = 0.0
        """What l+ has beside l."""
        self.longest_s: float | None = None
        """Of all batches, the slowest as it was."""

    def observe(self, rows: int, seconds: float) -> None:
        if self.longest_s is None or seconds > self.longest_s:
            self.longest_s = seconds
        fixed_s, per_row_s = self.fixed_s, self.per_row_s
        if fixed_s is not None and per_row_s is not None:
            rows_s = per_row_s * rows
            most = OUTLIER * (fixed_s + rows_s)
            if seconds > most > 0:
                seconds = most
            off_s = seconds - fixed_s - rows_s
            self.margin_s += GAIN * (DEVIATION * (off_s if off_s > 0 else -off_s) - self.margin_s)
        sizes, size = self._sizes, rows.bit_length()
        number, size_rows, size_seconds, _, _ = sizes.get(size, _NONE)
        number = DECAY * number + 1
        size_rows = DECAY * size_rows + rows
        size_seconds = DECAY * size_seconds + seconds
        sizes[size] = (number, size_rows, size_seconds, size_rows * size_rows / number, size_rows * size_seconds / number)
        every = iter(sizes.values())
        weight, rows_sum, seconds_sum, squares, products = next(every)
        for number, size_rows, size_seconds, size_squares, size_products in every:
            weight += number
            rows_sum += size_rows
            seconds_sum += size_seconds
            squares += size_squares
            products += size_products
        mean_rows, mean_s = rows_sum / weight, seconds_sum / weight
        square = mean_rows * mean_rows
        variance = squares / weight - square
        covariance = products / weight - mean_rows * mean_s
        ratio, pull = mean_s / mean_rows, PRIOR * square
        slope = (covariance + pull * ratio) / (variance + pull if variance > 0 else pull)
        per_row_s = 0.0 if slope < 0 else slope if slope < ratio else ratio
        self.per_row_s, self.fixed_s, self.rows = per_row_s, mean_s - per_row_s * mean_rows, mean_rows

    def of(self, rows: float) -> float | None:
        """l(rows), None until something was measured."""
        if self.fixed_s is None or self.per_row_s is None:
            return None
        return self.fixed_s + self.per_row_s * rows

    def within(self, rows: float) -> float:
        """l+(rows), 0 until something was measured."""
        if self.fixed_s is None or self.per_row_s is None:
            return 0.0
        return self.margin_s + (self.fixed_s + self.per_row_s * rows)

    def rows_within(self, seconds: float) -> int:
        """The most rows with l+ of no more; not below 0. There must be an l."""
        assert self.fixed_s is not None
        left_s = seconds - self.margin_s - self.fixed_s
        if left_s < 0:
            return 0
        return int(left_s / self.per_row_s + 1e-9) if self.per_row_s else sys.maxsize
