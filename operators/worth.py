"""Which waiting rows to give up when they cannot all be in time: those of least value.

    d[i]  deadline of row i, ascending           v[i]  its value, >= 0
    c[i]  rows that can be done by d[i]: with R idle replicas, full batches one after the other, then as large a one as still fits
              c(t) = R * (b_max * k + n)      k = floor((t - now - margin) / l(b_max))
                                              n = most rows <= b_max with l(n) <= what is left of t, 0 where l(1) is more
    K     rows kept                              feasible: at most c[i] of K have a deadline <= d[i], for every i

        maximise    sum_K v      K feasible

Feasible sets are those of a scheduling matroid (c does not decrease), so the greedy choice is best: in the order of deadlines, keep the row, and
where that makes one too many, give up the least valuable one kept so far, of equals the most urgent. Then no row is given up where giving up
less valuable ones would have been enough, and no more rows are given up than must be. O(q log q).

c is from above where several groups of rows are tight one after the other, since each may take a smaller batch: rows are not given up before they
must be, and what it lets pass is looked at again before the next batch.
Source: weighted unit jobs with deadlines, Lawler, Combinatorial Optimization (1976), chapter 7; heap form after Moore and Hodgson (1968).
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from operators.service_time import ServiceTime


def done_by(deadlines: NDArray[np.float64], now: float, time: ServiceTime, batch_max: int, replicas: int) -> NDArray[np.int64]:
    """c, shape (q,). l must be known."""
    fixed_s, per_row_s = time.fixed_s, time.per_row_s
    assert fixed_s is not None
    assert per_row_s is not None
    left_s = np.maximum(deadlines - now - time.margin_s, 0.0)
    full_s = max(fixed_s + per_row_s * batch_max, 1e-9)
    rounds = np.minimum(np.floor(left_s / full_s), 1e9)
    left_s = left_s - rounds * full_s
    part = np.minimum((left_s - fixed_s) / per_row_s + 1e-9, batch_max) if per_row_s else np.where(left_s >= fixed_s, batch_max, 0)
    return replicas * (rounds * batch_max + np.floor(np.maximum(part, 0))).astype(np.int64)


def least_worth(values: NDArray[np.float32], done: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the rows to give up, ascending. values: v in the order of deadlines; done: c, which does not decrease."""
    if (np.arange(1, len(done) + 1) <= done).all():
        return np.empty(0, np.intp)
    kept: list[tuple[float, int]] = []
    lost: list[int] = []
    for place, (value, room) in enumerate(zip(values.tolist(), done.tolist(), strict=True)):
        heappush(kept, (value, place))
        if len(kept) > room:
            lost.append(heappop(kept)[1])
    return np.sort(np.array(lost, np.intp))
