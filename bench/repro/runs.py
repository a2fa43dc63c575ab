"""Every run of one study or several, in parallel, paired by seed; what comes of it as means, intervals and differences.

Run i of a contender has seed `seed + i`: the arrivals, the noise and the profile of all contenders with it are the same. Outcomes do not
depend on how many processes work or in which order; only decision times do.

The runs of all studies are one queue, so that no process waits for the last run of a study, nor for its figures to be drawn.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.repro.level import HEADLINE, Level
from bench.repro.row import row
from bench.repro.series import Series, series
from bench.repro.spread import Spread, difference, spread
from bench.repro.study import Case, Contender, Study
from simulator.simulation import simulate

PROCESSES = 2
BOUND = "offline bound"

Result = tuple[Mapping[str, float], Series | None]
"""Of a run: its figures, and it over time where that was asked for."""


@dataclass(frozen=True, slots=True)
class Job:
    """case: its key in the results. draw: keep the run over time."""

    case: str
    contender: str
    level: Level
    seed: int
    work: Callable[[Level, int, bool], Result]
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


Tell = Callable[[Study, int, int], None]
"""(study, runs done, runs in all): progress."""


class Running:
    """A study and what came of its runs so far."""

    def __init__(self, study: Study, seeds: int, few: int, seed: int) -> None:
        self.study = study
        self._found = Found({case.name: Rows(case, HEADLINE) for case in study.cases},
                            {(case.name, level.name): Rows(case, level) for case in _at_levels(study) for level in study.levels if level != HEADLINE},
                            {(curve.name, x): Rows(case, HEADLINE) for curve in study.curves for x, case in curve.points})
        self._rows: list[Rows] = []
        self.jobs: list[Job] = []
        for rows in self._found.rows():
            count = seeds if any(rows is one for one in self._found.headline.values()) else few
            jobs = list(_jobs(rows, range(seed, seed + count), count == seeds))
            self.jobs += jobs
            self._rows += [rows] * len(jobs)
        self._results: dict[int, Result] = {}

    @property
    def done(self) -> int:
        return len(self._results)

    def take(self, number: int, result: Result) -> None:
        """Of its job of that number."""
        self._results[number] = result

    def found(self) -> Found:
        """In the order of the jobs, once all are done."""
        for number, (rows, job) in enumerate(zip(self._rows, self.jobs, strict=True)):
            figures, over_time = self._results[number]
            rows.by_seed.setdefault(job.contender, []).append(figures)
            if over_time is not None:
                rows.series[job.contender] = over_time
        return self._found


def run(studies: Sequence[Study], seeds: int, few: int, seed: int, tell: Tell, processes: int = PROCESSES) -> Iterator[tuple[Study, Found]]:
    """Each study as soon as its runs are done, while those of the others go on. seeds: of the cases. few: of levels and curves."""
    all_running = [Running(study, seeds, few, seed) for study in studies]
    places = [(running, number) for running in all_running for number in range(len(running.jobs))]
    for place, result in _done([running.jobs[number] for running, number in places], processes):
        running, number = places[place]
        running.take(number, result)
        tell(running.study, running.done, len(running.jobs))
        if running.done == len(running.jobs):
            yield running.study, running.found()


def _at_levels(study: Study) -> list[Case]:
    return [case for case in study.cases if not study.at_levels or case.name in study.at_levels]


def _jobs(rows: Rows, seeds: range, draw: bool) -> Iterator[Job]:
    case = rows.case
    for seed in seeds:
        for contender in case.contenders:
            yield Job(case.name, contender.name, rows.level, seed, _simulated(contender), draw and seed == seeds[0])
        if case.bound is not None:
            yield Job(case.name, BOUND, rows.level, seed, _bounded(case.bound))


def _simulated(contender: Contender) -> Callable[[Level, int, bool], Result]:
    def work(level: Level, seed: int, draw: bool) -> Result:
        scenario, control = contender.make(level, seed)
        done = simulate(scenario, control, seed, records=draw, clock=time.perf_counter)
        return row(done), series(done) if draw else None

    return work


def _bounded(bound: Callable[[Level, int], Mapping[str, float]]) -> Callable[[Level, int, bool], Result]:
    return lambda level, seed, draw: (bound(level, seed), None)


_WAITING: list[Job] = []
"""What the forked workers see; closures are not sent, only their numbers."""


def _work(number: int) -> tuple[int, Result]:
    job = _WAITING[number]
    try:
        return number, job.work(job.level, job.seed, job.draw)
    except Exception as failure:
        raise RuntimeError(f"{job.case}, {job.contender}, {job.level.name}, seed {job.seed}") from failure


def _done(jobs: list[Job], processes: int) -> Iterator[tuple[int, Result]]:
    """By the jobs' places, as they end."""
    _WAITING[:] = jobs
    try:
        if processes == 1:
            yield from map(_work, range(len(jobs)))
        else:
            with multiprocessing.get_context("fork").Pool(processes) as pool:
                yield from pool.imap_unordered(_work, range(len(jobs)))
    finally:
        _WAITING.clear()
