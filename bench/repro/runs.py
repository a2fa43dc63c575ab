"""Every run of a study, in parallel, paired by seed; what comes of it as means, intervals and differences.

Run i of a contender has seed `seed + i`: the arrivals, the noise and the profile of all contenders with it are the same. Outcomes do not
depend on how many processes work or in which order; only decision times do.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bench.repro.level import HEADLINE, Level
from bench.repro.row import row
from bench.repro.series import Series, series
from bench.repro.spread import Spread, difference, spread
from bench.repro.study import Case, Contender, Study
from simulator.simulation import simulate

PROCESSES = 2
BOUND = "offline bound"


@dataclass(frozen=True, slots=True)
class Job:
    """case: its key in the results. draw: keep the run over time."""

    case: str
    contender: str
    level: Level
    seed: int
    work: Callable[[Level, int, bool], tuple[Mapping[str, float], Series | None]]
    draw: bool = False


@dataclass(slots=True)
class Rows:
    """Of one case at one level. by_seed: contender to the rows of its seeds, in order. series: of the first seed, by contender."""

    case: Case
    level: Level
    by_seed: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def spread(self, contender: str, metric: str) -> Spread:
        return spread(self.values(contender, metric))

    def values(self, contender: str, metric: str) -> list[float]:
        return [row[metric] for row in self.by_seed[contender]]

    def against(self, contender: str, other: str, metric: str) -> Spread:
        """contender - other, paired."""
        return difference(self.values(contender, metric), self.values(other, metric))

    def means(self, contender: str) -> dict[str, float]:
        return {metric: self.spread(contender, metric).mean for metric in self.by_seed[contender][0]}


@dataclass(frozen=True, slots=True)
class Found:
    """headline: by case. levels: by (case, level's name). curves: by (curve, x)."""

    headline: dict[str, Rows]
    levels: dict[tuple[str, str], Rows]
    curves: dict[tuple[str, float], Rows]

    def rows(self) -> Iterator[Rows]:
        yield from self.headline.values()
        yield from self.levels.values()
        yield from self.curves.values()


def run(study: Study, seeds: int, few: int, seed: int, tell: Callable[[int, int], None], processes: int = PROCESSES) -> Found:
    """seeds: of the cases. few: of levels and curves. tell(done, all): progress."""
    found = Found({case.name: Rows(case, HEADLINE) for case in study.cases},
                  {(case.name, level.name): Rows(case, level) for case in _at_levels(study) for level in study.levels if level != HEADLINE},
                  {(curve.name, x): Rows(case, HEADLINE) for curve in study.curves for x, case in curve.points})
    jobs: list[tuple[Rows, Job]] = []
    for rows in found.rows():
        count = seeds if any(rows is one for one in found.headline.values()) else few
        jobs += [(rows, job) for job in _jobs(rows, range(seed, seed + count), count == seeds)]
    done = _done([job for _, job in jobs], processes, tell)
    for (rows, job), (figures, over_time) in zip(jobs, done, strict=True):
        rows.by_seed.setdefault(job.contender, []).append(figures)
        if over_time is not None:
            rows.series[job.contender] = over_time
    return found


def _at_levels(study: Study) -> list[Case]:
    return [case for case in study.cases if not study.at_levels or case.name in study.at_levels]


def _jobs(rows: Rows, seeds: range, draw: bool) -> Iterator[Job]:
    case = rows.case
    for seed in seeds:
        for contender in case.contenders:
            yield Job(case.name, contender.name, rows.level, seed, _simulated(contender), draw and seed == seeds[0])
        if case.bound is not None:
            yield Job(case.name, BOUND, rows.level, seed, _bounded(case.bound))


def _simulated(contender: Contender) -> Callable[[Level, int, bool], tuple[Mapping[str, float], Series | None]]:
    def work(level: Level, seed: int, draw: bool) -> tuple[Mapping[str, float], Series | None]:
        scenario, control = contender.make(level, seed)
        done = simulate(scenario, control, seed, records=draw, clock=time.perf_counter)
        return row(done), series(done) if draw else None

    return work


def _bounded(bound: Callable[[Level, int], Mapping[str, float]]) -> Callable[[Level, int, bool], tuple[Mapping[str, float], Series | None]]:
    return lambda level, seed, draw: (bound(level, seed), None)


_WAITING: list[Job] = []
"""What the forked workers see; closures are not sent, only their numbers."""


def _work(number: int) -> tuple[int, Mapping[str, float], Series | None]:
    job = _WAITING[number]
    try:
        return number, *job.work(job.level, job.seed, job.draw)
    except Exception as failure:
        raise RuntimeError(f"{job.case}, {job.contender}, {job.level.name}, seed {job.seed}") from failure


def _done(jobs: list[Job], processes: int, tell: Callable[[int, int], None]) -> list[tuple[Mapping[str, float], Series | None]]:
    """In the order of the jobs."""
    results: dict[int, tuple[Mapping[str, float], Series | None]] = {}
    _WAITING[:] = jobs
    try:
        if processes == 1:
            finished: Iterator[tuple[int, Mapping[str, float], Series | None]] = map(_work, range(len(jobs)))
            _gather(finished, results, len(jobs), tell)
        else:
            with multiprocessing.get_context("fork").Pool(processes) as pool:
                _gather(pool.imap_unordered(_work, range(len(jobs))), results, len(jobs), tell)
    finally:
        _WAITING.clear()
    return [results[number] for number in range(len(jobs))]


def _gather(finished: Iterator[tuple[int, Mapping[str, float], Series | None]], results: dict, count: int, tell: Callable[[int, int], None]) -> None:
    for number, figures, over_time in finished:
        results[number] = figures, over_time
        tell(len(results), count)
