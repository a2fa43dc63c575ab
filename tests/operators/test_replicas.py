"""Replica processes by themselves: resized, taken from the spares, stopped, killed."""

import asyncio
import os
import signal

import pytest

from operators import process, quota, replicas, spares, wire
from operators.actions import Cause
from operators.process import can_take_back
from operators.processors import Processors
from operators.protocol.rows import decode, encode
from operators.replicas import Replicas
from tests.operators.service import LIMIT_S, alive

WISH = {"operator": "operators.echo:Echo", "name": "v", "accuracy": 0.9, "options": {}, "version": None, "repository": "", "cores": 1}
MARKED = {**WISH, "options": {"suffix": "!"}}


class Heard:
    """A listener that can be waited on."""

    def __init__(self, processors=None):
        self.replicas = Replicas(self, processors)
        self.ready, self.answers, self.deaths = {}, {}, {}

    def replica_ready(self, number, facts):
        self.ready[number] = facts
        self.replicas.serves(number)

    def replica_answered(self, number, answer):
        self.answers.setdefault(number, []).append(decode(bytes(answer.payload), len(answer.payload) and 1))

    def replica_died(self, number, cause, detail):
        self.deaths[number] = cause, detail

    async def until(self, condition):
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def start(self, number, wish=WISH):
        self.replicas.start(number, wish, 0.0)
        await self.until(lambda: number in self.ready)
        return self.replicas.pids()[number]

    async def ask(self, number, row=b"x"):
        had = len(self.answers.get(number, []))
        self.replicas.send(number, wire.pack_batch([1], [encode([row])]))
        await self.until(lambda: len(self.answers.get(number, [])) > had)
        return self.answers[number][-1]

    async def spare(self, count=1, wish=WISH, batches=()):
        self.replicas.keep_spares(count, wish, lambda facts: list(batches))
        await self.until(lambda: self.replicas.report()["spares"] == count)


def play(scene, processors=None):
    async def run():
        heard = Heard(processors)
        try:
            await scene(heard)
        finally:
            await heard.replicas.close()

    asyncio.run(run())


@pytest.fixture
def at_once(monkeypatch):
    """Spares are loaded without a pause before, and without waiting for an idle machine."""
    monkeypatch.setattr(spares, "REFILL_S", 0.0)
    monkeypatch.setattr(process, "can_take_back", lambda: False)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(process, "WATCH_S", 0.02)


def affinities(pid):
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir(f"/proc/{pid}/task")}


def test_a_resize_moves_every_thread_and_is_acknowledged():
    here = sorted(os.sched_getaffinity(0))

    async def scene(heard):
        pid = await heard.start(0)
        await heard.ask(0)
        assert affinities(pid) == {frozenset(here[:1])}
        heard.replicas.resize(0, 2)
        await heard.ask(0)
        assert affinities(pid) == {frozenset(here[:2])}
        change = heard.replicas.changes[-1]
        assert (change.kind, change.cores) == ("resized", 2)
        assert change.asked_at <= change.effective_at <= change.answered_at
        assert heard.replicas.report()["cores"] == 2
        assert heard.replicas.changed == {"started": 1, "resized": 1}

    play(scene)


def test_replicas_have_cores_of_their_own_and_get_those_that_others_leave():
    here = sorted(os.sched_getaffinity(0))
    if len(here) < 2:
        here = [here[0], here[0]]

    async def scene(heard):
        first, second = await heard.start(0), await heard.start(1)
        await heard.ask(0)
        await heard.ask(1)
        assert affinities(first) | affinities(second) == {frozenset(here[:1]), frozenset(here[1:2])}
        heard.replicas.stop(0)
        await heard.until(lambda: not alive(first))
        heard.replicas.resize(1, 1)
        await heard.ask(1)
        assert len(affinities(second)) == 1

    play(scene)


def test_a_part_of_a_core_without_quotas_is_a_slot():
    async def scene(heard):
        await heard.start(0, {**WISH, "operator": "operators.echo:Burner", "options": {"burn_ms": 10}, "cores": 0.25})
        assert heard.replicas.report()["parts"] == "slot"
        loop = asyncio.get_running_loop()
        await heard.ask(0)
        began = loop.time()
        for _ in range(5):
            await heard.ask(0)
        assert loop.time() - began >= 5 * 0.010 / 0.25 * 0.95

    play(scene, processors=Processors())


def test_a_part_of_a_core_is_a_quota_where_cgroups_may_be_written():
    quotas = quota.probe()
    if quotas is None:
        pytest.skip("needs a cgroup that this user may write")
    processors = Processors(quotas=quotas)

    async def scene(heard):
        pid = await heard.start(0, {**WISH, "cores": 0.5})
        await heard.ask(0)
        assert heard.replicas.report()["parts"] == "quota"
        assert str(pid) in (quotas.group / str(pid) / "cgroup.procs").read_text().split()
        heard.replicas.resize(0, 1)
        await heard.ask(0)
        os.kill(pid, signal.SIGKILL)
        await heard.until(lambda: 0 in heard.deaths)
        assert not (quotas.group / str(pid)).exists()

    play(scene, processors=processors)
    processors.close()
    assert not quotas.group.exists()


def test_a_spare_takes_over_ready_and_warm(at_once):
    async def scene(heard):
        await heard.start(0)
        await heard.spare(batches=[(1, encode([b"warm"])), (1, encode([b"up"]))])
        (spare,) = heard.replicas.spare_pids()
        assert list(heard.replicas.pids().values()) != [spare]
        assert heard.replicas.report()["spare_mb"] > 5
        heard.replicas.start(1, WISH, 0.0)
        await heard.until(lambda: 1 in heard.ready)
        assert heard.ready[1]["warm"] is True
        assert heard.replicas.pids()[1] == spare
        assert await heard.ask(1) == [b"x"]
        assert heard.replicas.changes[-1].kind == "started_warm"
        await heard.until(lambda: heard.replicas.report()["spares"] == 1)  # the pool fills again

    play(scene)


def test_a_spare_loads_at_idle_priority_and_is_taken_to_that_of_the_service(monkeypatch):
    monkeypatch.setattr(spares, "REFILL_S", 0.0)
    own = os.sched_getscheduler(0)

    async def scene(heard):
        await heard.start(0)
        heard.replicas.keep_spares(1, WISH, lambda facts: [])
        await heard.until(heard.replicas.spare_pids)
        (spare,) = heard.replicas.spare_pids()
        assert os.sched_getscheduler(spare) == (os.SCHED_IDLE if can_take_back() else own)
        assert await heard.start(1) == spare
        assert {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{spare}/task")} == {own}

    play(scene)


def test_a_spare_of_another_variant_loads_the_one_that_is_asked_for(at_once):
    async def scene(heard):
        await heard.start(0)
        await heard.spare()
        (spare,) = heard.replicas.spare_pids()
        assert await heard.start(1, MARKED) == spare
        assert await heard.ask(1) == [b"x!"]
        assert "warm" not in heard.ready[1]

    play(scene)


def test_spares_follow_the_variant_in_the_processes_that_they_have(at_once):
    async def scene(heard):
        await heard.start(0)
        await heard.spare(2)
        pids = heard.replicas.spare_pids()
        await heard.spare(2, MARKED)
        assert heard.replicas.spare_pids() == pids
        await heard.start(1, MARKED)
        assert heard.ready[1]["warm"] is True
        assert await heard.ask(1) == [b"x!"]

    play(scene)


def test_without_spares_none_is_kept(at_once):
    async def scene(heard):
        await heard.start(0)
        await heard.spare(1)
        (spare,) = heard.replicas.spare_pids()
        await heard.spare(0)
        await heard.until(lambda: not alive(spare))
        await heard.start(1)
        assert heard.replicas.changed["started_warm"] == 0

    play(scene)


def test_a_spare_that_dies_is_nobody_s_death_and_is_replaced(at_once):
    async def scene(heard):
        await heard.start(0)
        await heard.spare()
        (spare,) = heard.replicas.spare_pids()
        os.kill(spare, signal.SIGKILL)
        await heard.until(lambda: heard.replicas.report()["spares"] == 1 and heard.replicas.spare_pids() != [spare])
        assert heard.deaths == {}

    play(scene)


def test_no_spare_takes_the_memory_that_must_be_left():
    assert spares.memory_allows(0)
    assert not spares.memory_allows(1 << 50)


def test_a_stopped_replica_is_killed_from_outside(watched):
    async def scene(heard):
        pid = await heard.start(0)
        os.kill(pid, signal.SIGSTOP)
        await heard.until(lambda: 0 in heard.deaths)
        assert heard.deaths[0] == (Cause.STOPPED, "killed because it was stopped (SIGSTOP)")
        assert heard.replicas.report()["deaths"] == {"crash": 0, "hung": 0, "memory": 0, "killed": 0, "stopped": 1}

    play(scene)


def test_a_long_batch_is_not_taken_for_a_stopped_one(watched):
    async def scene(heard):
        await heard.start(0, {**WISH, "operator": "operators.echo:Sleeper", "options": {"sleep_ms": 400}})
        assert await heard.ask(0) == [b"x"]
        assert heard.deaths == {}

    play(scene)


@pytest.mark.parametrize(
    ("row", "cause", "detail"),
    [(b"exit", Cause.CRASH, "exit status 7"), (b"crash", Cause.CRASH, "SIGSEGV"), (None, Cause.KILLED, "SIGKILL")],
)
def test_why_a_replica_died_is_told(row, cause, detail):
    async def scene(heard):
        pid = await heard.start(0, {**WISH, "operator": "operators.echo:Faulty"})
        if row is None:
            os.kill(pid, signal.SIGKILL)
        else:
            heard.replicas.send(0, wire.pack_batch([1], [encode([row])]))
        await heard.until(lambda: 0 in heard.deaths)
        assert heard.deaths[0] == (cause, detail)

    play(scene)


def test_a_kill_while_memory_ran_out_is_told_apart(monkeypatch):
    counts = [3]
    monkeypatch.setattr(process, "out_of_memory_kills", lambda: counts[-1])
    monkeypatch.setattr(process, "WATCH_S", 60.0)  # the count is taken at the start and at the end

    async def scene(heard):
        pid = await heard.start(0)
        counts.append(4)
        os.kill(pid, signal.SIGKILL)
        await heard.until(lambda: 0 in heard.deaths)
        assert heard.deaths[0] == (Cause.MEMORY, "SIGKILL, for want of memory")

    play(scene)


def test_one_that_cannot_be_loaded_says_why():
    async def scene(heard):
        heard.replicas.start(0, {**WISH, "operator": "operators.echo:Broken"}, 0.0)
        await heard.until(lambda: 0 in heard.deaths)
        assert heard.deaths[0][1] == "operator operators.echo:Broken cannot be loaded: RuntimeError: this operator never loads"

    play(scene)


def test_a_resize_before_it_has_loaded_counts():
    async def scene(heard):
        heard.replicas.start(0, WISH, 0.0)
        heard.replicas.resize(0, 1.5)
        await heard.until(lambda: 0 in heard.ready)
        await heard.ask(0)
        assert heard.replicas.changes[-1].kind == "started"
        assert len(next(iter(affinities(heard.replicas.pids()[0])))) == min(2, len(os.sched_getaffinity(0)))

    play(scene)


@pytest.mark.parametrize("suffix", ["", "!"])
def test_a_spare_taken_while_it_is_warmed_answers_only_what_it_is_asked(at_once, suffix):
    slow = {**WISH, "operator": "operators.echo:Sleeper", "options": {"sleep_ms": 200}}
    warmed = []

    def batches(facts):
        warmed.append(facts)
        return [(1, encode([b"warm"])), (1, encode([b"warm"]))]

    async def scene(heard):
        await heard.start(0, slow)
        heard.replicas.keep_spares(1, slow, batches)
        await heard.until(lambda: warmed)
        (spare,) = heard.replicas.spare_pids()
        assert await heard.start(1, {**slow, "options": {"sleep_ms": 200, "suffix": suffix}}) == spare
        assert "warm" not in heard.ready[1]
        assert await heard.ask(1, b"x") == [b"x" + suffix.encode()]

    play(scene)


def test_a_spare_taken_while_it_loads_is_ready_when_it_has_loaded_what_it_shall(at_once):
    async def scene(heard):
        await heard.start(0)
        heard.replicas.keep_spares(1, WISH, lambda facts: [])
        await heard.until(heard.replicas.spare_pids)
        (spare,) = heard.replicas.spare_pids()
        assert await heard.start(1, {**MARKED, "version": "2"}) == spare
        assert heard.ready[1]["version"] == "2"
        assert await heard.ask(1, b"x") == [b"x!"]

    play(scene)


def test_a_replica_that_is_to_disturb_nobody_is_at_idle_priority_until_it_serves(monkeypatch):
    own = os.sched_getscheduler(0)
    low = os.SCHED_IDLE if can_take_back() else own

    def policies(pid):
        return {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}

    async def scene(heard):
        heard.replicas.start(0, WISH, 0.0, low=True)
        await heard.until(heard.replicas.pids)
        assert policies(heard.replicas.pids()[0]) == {low}
        await heard.until(lambda: heard.ready)
        assert policies(heard.replicas.pids()[0]) == {own}
        assert await heard.ask(0, b"x") == [b"x"]
        monkeypatch.setattr(replicas, "LOW_S", 0.0)
        heard.replicas.start(1, WISH, 0.0, low=True)
        await heard.until(lambda: 1 in heard.replicas.pids())
        pid = heard.replicas.pids()[1]
        os.kill(pid, signal.SIGSTOP)  # it does not get on with loading
        await heard.until(lambda: policies(pid) == {own})
        os.kill(pid, signal.SIGCONT)
        await heard.until(lambda: 1 in heard.ready)

    play(scene)
