"""How long the first row of a batch waits for the rest of it.

    b    rows per batch            lam  rows/s
    k    rows that arrive at once (a fan-out's width), at lam / k groups/s
    q    share of batches, 0..1    g    greatest common divisor of b and k

    mean       (b-1) / lam                        mean, exact for any arrivals one by one; IPA calls it the worst case, Themis "constant"
    average    (b-1) / 2 lam                      mean over all rows of the batch, exact
    quantile   Gamma^-1(q; shape b-1, scale 1/lam)   quantile, exact for Poisson arrivals; Themis "gamma"
    bound      (b-1) (-ln(1-q)) / lam             upper bound of that quantile for q >= 0.72; Themis "exponential"
    bulk mean  (b-g) / lam                        mean, exact for groups of exactly k: every batch begins at a multiple of g in a group
    bulk bound Gamma^-1(q; shape ceil((b-g)/k), scale k/lam)   upper bound of the quantile for Poisson groups

Rows of one group come together, so between them nothing is waited for, but a gap between groups is k times as long: a Poisson stream
of rows has the same mean and far too thin a tail. With no rows (lam = 0) nobody waits: 0. All times in ms.

Source: Themis (arXiv 2407.14843), released queue models (whose "constant" gives seconds where ms are meant; not so here); IPA (JSys
2024), section on the queueing delay.
"""

from __future__ import annotations

from math import ceil, gcd, log

from scipy.special import gammaincinv

BOUND_LEAST_SHARE = 0.7154
"""e^x >= 1 + 2x from x = 1.2565 on; two gaps (b = 3) are the worst case, below it their quantile exceeds the bound."""


def fill_mean_ms(batch: int, rate: float) -> float:
    """Mean, of the first row."""
    return 1000.0 * (batch - 1) / rate if rate > 0 else 0.0


def fill_average_ms(batch: int, rate: float) -> float:
    """Mean, over all rows of the batch."""
    return fill_mean_ms(batch, rate) / 2


def fill_quantile_ms(batch: int, rate: float, share: float) -> float:
    """Quantile, of the first row; rows arrive one by one, Poisson. 0 < share < 1."""
    _check_share(share)
    return _erlang_quantile_ms(batch - 1, rate, share)


def fill_bound_ms(batch: int, rate: float, share: float) -> float:
    """Upper bound of `fill_quantile_ms`. ValueError for a share below 0.7154, where it is none."""
    _check_share(share)
    if share < BOUND_LEAST_SHARE:
        raise ValueError(f"share is {share}; the exponential form bounds the wait only from {BOUND_LEAST_SHARE} on")
    return -log(1 - share) * fill_mean_ms(batch, rate)


def bulk_fill_mean_ms(batch: int, rate: float, group: int) -> float:
    """Mean, of the first row, where rows arrive `group` at a time. rate: rows/s."""
    return 1000.0 * (batch - gcd(batch, group)) / rate if rate > 0 else 0.0


def bulk_fill_bound_ms(batch: int, rate: float, group: int, share: float) -> float:
    """Upper bound of the quantile, of the first row, where rows arrive `group` at a time, Poisson groups. rate: rows/s."""
    _check_share(share)
    gaps = ceil((batch - gcd(batch, group)) / group)
    return _erlang_quantile_ms(gaps, rate / group, share)


def _erlang_quantile_ms(gaps: int, rate: float, share: float) -> float:
    """Of the sum of that many exponential gaps."""
    if gaps == 0 or rate <= 0:
        return 0.0
    return 1000.0 * float(gammaincinv(gaps, share)) / rate


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it must be between 0 and 1")
