"""What every service does that the loop acts on, in memory and over HTTP; and the job, through a scripted Flink."""

import asyncio
import contextlib
from dataclasses import asdict

import pytest
from aiohttp import web

from autoscaler.actuator import ActuationError, ServiceActuator
from autoscaler.flink import FlinkJob
from jobs.embedded.rest import Job, RestError, Vertex
from tests.autoscaler.world import MemoryService, pipeline


@contextlib.asynccontextmanager
async def over_http(behind):
    """The service's interface before a service in memory."""
    async def answer(request):
        stage = request.match_info["stage"]
        try:
            lanes = await (behind.lanes(stage) if request.method == "GET" else behind.set(stage, await request.json()))
        except ActuationError as error:
            return web.Response(status=503, text=str(error))
        shown = [asdict(lane) for lane in lanes]
        setting = {"variant": lanes[0].variant, "version": "1", "batch": lanes[0].batch, "cores": lanes[0].cores, "replicas": lanes[0].replicas,
                   "window": 8192, "lanes": shown}
        return web.json_response(setting if request.method == "PATCH" else {"setting": setting, "lanes": shown})

    application = web.Application()
    application.router.add_route("*", "/sluice/v1/stages/{stage}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with ServiceActuator(f"http://{host}:{port}") as actuator:
            yield actuator
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def in_memory(behind):
    yield behind


@pytest.fixture(params=[in_memory, over_http], ids=["memory", "http"])
def with_service(request):
    """Runs `scenario(service, what is behind it)`."""
    def run(scenario):
        async def all_of_it():
            behind = MemoryService()
            async with request.param(behind) as service:
                await scenario(service, behind)

        asyncio.run(all_of_it())

    return run


def test_what_runs_can_be_read(with_service):
    async def scenario(service, behind):
        (lane,) = await service.lanes("classify")
        assert (lane.variant, lane.replicas, lane.batch, lane.cores, lane.ready, lane.is_wanted) == ("cnn", 1, 8, 1, 1, True)

    with_service(scenario)


def test_a_change_is_read_back_and_replicas_come_later(with_service):
    async def scenario(service, behind):
        (lane,) = await service.set("classify", {"batch": 4, "cores": 2})
        assert (lane.batch, lane.cores, lane.replicas, lane.ready) == (4, 2, 1, 1)
        (lane,) = await service.set("classify", {"replicas": 3})
        assert (lane.replicas, lane.ready) == (3, 1)
        behind.now_s += behind.loads_s
        assert (await service.lanes("classify"))[0].ready == 3
        (lane,) = await service.set("classify", {"replicas": 2})
        assert (lane.replicas, lane.ready) == (2, 2)

    with_service(scenario)


def test_variants_are_exchanged_in_one_call(with_service):
    async def scenario(service, behind):
        lanes = await service.set("classify", {"variants": {"cnn": {"share": 0.8, "replicas": 1, "batch": 8, "cores": 1},
                                                           "mlp": {"share": 0.2, "replicas": 2, "batch": 8, "cores": 1}}})
        assert {lane.variant: (lane.share, lane.replicas, lane.ready) for lane in lanes} == {"cnn": (0.8, 1, 1), "mlp": (0.2, 2, 0)}
        assert {lane.variant: lane.state for lane in lanes} == {"cnn": "serving", "mlp": "loading"}

    with_service(scenario)


@pytest.mark.parametrize("trouble", ["refuses", "away"])
def test_what_fails_is_an_actuation_error(with_service, trouble):
    async def scenario(service, behind):
        setattr(behind, trouble, True)
        with pytest.raises(ActuationError):
            await service.set("classify", {"replicas": 2})
        with pytest.raises(ActuationError):
            await service.lanes("nobody")

    with_service(scenario)


def test_an_answer_with_other_lanes_than_asked_for_is_an_error():
    class Disobedient(MemoryService):
        async def set(self, stage, body):
            return await self.lanes(stage)

    async def scenario():
        async with over_http(Disobedient()) as service:
            with pytest.raises(ActuationError, match=r"the service has \{'replicas': 1\}"):
                await service.set("classify", {"replicas": 2})
            with pytest.raises(ActuationError, match=r"cnn\.share"):
                await service.set("classify", {"variants": {"cnn": {"share": 0.5, "replicas": 1}}})
            with pytest.raises(ActuationError, match="variants"):
                await service.set("classify", {"variants": {"mlp": {"share": 1.0}}})

    asyncio.run(scenario())


class ScriptedFlink:
    """The calls that FlinkJob makes. stall: how many looks the job is down for; slots: subtasks that it can have; deaf: it never moves."""

    url = "http://flink"

    def __init__(self, stall=3, slots=8, deaf=False):
        self.parallelism, self.wanted, self.stall, self.slots, self.deaf = 1, 1, stall, slots, deaf
        self.asked, self.down, self.names = [], 0, ["sluice-digits"]
        self.busy, self.rate = 200.0, 40.0

    def jobs(self):
        return [Job(f"j{number}", name, "RUNNING") for number, name in enumerate(self.names)]

    def vertices(self, job):
        return [Vertex("s", "Source: source in", 1, "RUNNING"), Vertex("v", "stage classify -> sink out: Writer", self.parallelism, "RUNNING")]

    def require(self, job, bounds):
        self.asked.append(dict(bounds))
        if not self.deaf:
            self.wanted, self.down = min(bounds["v"][1], self.slots), self.stall if min(bounds["v"][1], self.slots) != self.parallelism else 0

    def is_running(self, job):
        if self.down:
            self.down -= 1
            self.parallelism = self.wanted if not self.down else self.parallelism
            return False
        return True

    def metrics(self, job, vertex, *names):
        if vertex == "v":
            return {"numRecordsInPerSecond": self.rate, "busyTimeMsPerSecond": self.busy}
        values = {"numRecordsOut": 90.0, "x.topic.in.partition.0.currentOffset": 60.0, "x.topic.in.partition.1.currentOffset": 40.0, "x.pendingRecords": 7.0}
        return {name: values[name] for name in names if name in values}

    def get(self, path):
        return [{"id": name} for name in ("numRecordsOut", "x.topic.in.partition.0.currentOffset", "x.topic.in.partition.1.currentOffset",
                                          "x.topic.in.partition.0.committedOffset", "x.pendingRecords", "numRecordsIn")]


class Clock:
    """Each wait is a tenth of a second."""

    def __init__(self):
        self.now_s = 0.0

    def wait(self, _):
        self.now_s += 0.1


def job(flink):
    clock = Clock()
    return FlinkJob(pipeline(), flink, lambda: clock.now_s, lambda: 1000.0, clock.wait)


def test_the_job_tells_its_parallelism_true_rate_progress_and_lag():
    seen = job(ScriptedFlink()).look()
    assert (seen.vertices["classify"].parallelism, seen.vertices["classify"].true_rate) == (1, 200.0)  # 40 rows/s in 20 % of the time
    assert (seen.progress.records, seen.progress.offsets, seen.progress.lag, seen.progress.at_s) == (90, 100, 7, 1000.0)


def test_a_true_rate_is_not_guessed_from_an_idle_proxy():
    flink = ScriptedFlink()
    flink.busy = float("nan")
    assert job(flink).look().vertices["classify"].true_rate is None
    flink.busy = 10.0
    assert job(flink).look().vertices["classify"].true_rate is None


def test_a_rescale_is_waited_for_and_its_stall_measured():
    flink = ScriptedFlink(stall=30)
    done = job(flink).rescale({"classify": 3})
    assert flink.asked == [{"v": (1, 3)}]
    assert dict(done.parallelism) == {"classify": 3}
    assert done.stall_s == pytest.approx(3.0, abs=0.2)


def test_a_rescale_to_more_than_there_are_slots_for_is_taken_back():
    flink = ScriptedFlink(stall=5, slots=2)
    with pytest.raises(ActuationError, match=r"Flink gave \{'classify': 2\}; taken back"):
        job(flink).rescale({"classify": 4})
    assert flink.asked == [{"v": (1, 4)}, {"v": (1, 1)}]


def test_a_rescale_that_does_not_begin_or_never_ends_is_an_error():
    with pytest.raises(ActuationError, match="taken back"):
        job(ScriptedFlink(deaf=True)).rescale({"classify": 2})
    with pytest.raises(ActuationError, match="does not run again"):
        job(ScriptedFlink(stall=10**9)).rescale({"classify": 2})
    with pytest.raises(ActuationError, match="no vertex of stage other"):
        job(ScriptedFlink()).rescale({"other": 2})


def test_a_job_that_is_away_or_not_alone_is_an_error():
    flink = ScriptedFlink()
    for names in ([], ["sluice-digits"] * 2, ["sluice-other"]):
        flink.names = names
        with pytest.raises(ActuationError, match="jobs called sluice-digits"):
            job(flink).look()

    def away():
        raise RestError("Flink does not answer")

    flink.jobs = away
    with pytest.raises(ActuationError, match="does not answer"):
        job(flink).look()
