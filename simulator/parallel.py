"""Many runs at once, each in a process of its own, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulator.what_if import Answer, Question, answer

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One run. number: its place among all. draw: keep it over time."""

    number: int
    policy: str
    seed: int
    draw: bool


_TOLD: Any = None
"""In a worker: where its progress goes."""
_QUESTION: Question | None = None


def _begin(told: Any, question: Question) -> None:
    global _TOLD, _QUESTION  # what a worker process is given once
    _TOLD, _QUESTION = told, question


def _work(job: Job) -> Answer:
    assert _QUESTION is not None
    return answer(_QUESTION, job.policy, job.seed, job.draw, time.perf_counter, lambda share: _TOLD.put((job.number, share)))


def run_all(question: Question, jobs: Sequence[Job]) -> list[Answer]:
    """As they end, in as many processes as there are cores; with a progress bar on stderr where somebody looks."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    workers = min(len(jobs), os.cpu_count() or 1)
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TextColumn("runs"), MofNCompleteColumn(),
               TimeElapsedColumn(), TimeRemainingColumn())
    with ProcessPoolExecutor(workers, context, _begin, (told, question)) as pool, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(jobs))
        waiting: set[Future[Answer]] = {pool.submit(_work, job) for job in jobs}
        running, shares = set(waiting), dict[int, float]()
        try:
            while running:
                _, running = wait(running, POLL_S, FIRST_COMPLETED)
                shares |= _latest(told)
                progress.update(task, completed=sum(shares.values()) if running else len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in waiting]


def _latest(told: Any) -> dict[int, float]:
    found: dict[int, float] = {}
    while True:
        try:
            number, share = told.get_nowait()
        except queue.Empty:
            return found
        found[number] = share
