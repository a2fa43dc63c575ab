import asyncio

import pytest
from aiohttp import web
from prometheus_client import generate_latest

from autoscaler.actuator import ActuationError, ServiceActuator
from autoscaler.loop import ControlLoop
from autoscaler.metrics import SidecarMetrics
from autoscaler.reactive import ReactiveSettings, Running
from tests.autoscaler.builders import message, pipeline


class ScriptedService:
    """The two requests of the operator service's HTTP interface that the autoscaler makes."""

    def __init__(self) -> None:
        self.setting = {"variant": "cnn", "version": "1", "batch": 8, "cores": 1, "replicas": 1, "window": 4096}
        self.changes: list[dict] = []
        self.status = 200
        self.obeys = True
        self.text: str | None = None

    def telemetry(self, sequence: int, **fields) -> bytes:
        setting = {name: self.setting[name] for name in ("batch", "replicas", "cores")}
        return message(sequence=sequence, at_ms=(1000 + sequence) * 1000, **{**setting, **fields})

    async def answer(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.Response(status=self.status, text="no")
        if request.method == "PATCH":
            self.changes.append(await request.json())
            self.setting.update(self.changes[-1] if self.obeys else {})
        return web.Response(text=self.text) if self.text is not None else web.json_response(self.setting)


def with_service(scenario):
    """Runs `scenario(service, actuator)` against the service on a free port."""
    async def run():
        service = ScriptedService()
        application = web.Application()
        application.router.add_route("*", "/sluice/v1/stages/classify", service.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ServiceActuator(f"http://{host}:{port}/", timeout_s=1.0) as actuator:
            try:
                await scenario(service, actuator)
            finally:
                await runner.cleanup()

    asyncio.run(run())


def control_loop(actuator, **fields) -> ControlLoop:
    return ControlLoop(pipeline(), actuator, SidecarMetrics("digits"), ReactiveSettings(stabilization_s=10.0), **fields)


def metric(loop: ControlLoop, line: str) -> float | None:
    return loop.metrics.registry.get_sample_value(*_name_and_labels(line))


def _name_and_labels(line: str) -> tuple[str, dict[str, str]]:
    name, _, labels = line.rstrip("}").partition("{")
    return name, dict(pair.split("=") for pair in labels.split(",")) if labels else {}


def test_a_burst_changes_the_running_service_and_calm_takes_it_back():
    async def scenario(service, actuator):
        loop = control_loop(actuator)
        records = []
        for second in range(60):
            loop.take(service.telemetry(second, arrivals=2000 if 5 <= second < 10 else 100), 1000.0 + second)
            records.append(await loop.step(1000.0 + second))
        assert service.changes[0] == {"replicas": 2, "batch": 64}
        assert (service.setting["replicas"], service.setting["batch"]) == (1, 64)
        written = [record for record in records if record is not None]
        change = written[1]["stages"]["classify"]
        assert (change["action"], change["actions"], change["outcome"]) == ("up", {"replicas": 2, "batch": 64}, "confirmed")
        assert change["inputs"]["peak_arrival_rps"] == 2000.0
        assert change["running"] == {"replicas": 1, "batch": 8, "cores": 1}
        assert [record["sequence"] for record in written] == list(range(1, len(written) + 1))
        assert metric(loop, "sluice_autoscaler_decisions_total{pipeline=digits,stage=classify,action=up}") == 1
        assert metric(loop, "sluice_autoscaler_desired_replicas{pipeline=digits,stage=classify}") == 1

    with_service(scenario)


def test_a_sidecar_started_anew_adopts_what_runs():
    async def scenario(service, actuator):
        service.setting.update(replicas=3, batch=32)
        loop = control_loop(actuator)
        await loop.step(1000.0)
        assert loop.running == {"classify": Running(3, 32, 1)}
        loop.take(service.telemetry(1), 1001.0)
        await loop.step(1001.0)
        assert service.changes == []

    with_service(scenario)


def test_advice_records_and_changes_nothing():
    async def scenario(service, actuator):
        loop = control_loop(actuator, advice=True)
        loop.take(service.telemetry(0, arrivals=2000), 1000.0)
        record = await loop.step(1000.0)
        assert (record["mode"], record["stages"]["classify"]["outcome"], service.changes) == ("advice", "advised", [])
        loop.take(service.telemetry(1, arrivals=2000), 1001.0)
        assert await loop.step(1001.0) is None

    with_service(scenario)


def test_a_change_that_failed_is_counted_and_tried_again():
    async def scenario(service, actuator):
        loop = control_loop(actuator)
        await loop.step(999.0)
        service.status = 503
        loop.take(service.telemetry(0, arrivals=2000), 1000.0)
        record = await loop.step(1000.0)
        assert record["stages"]["classify"]["outcome"].startswith("failed: PATCH")
        assert metric(loop, "sluice_autoscaler_actuation_failures_total{pipeline=digits,stage=classify}") == 1
        service.status = 200
        loop.take(service.telemetry(1, arrivals=2000), 1001.0)
        await loop.step(1001.0)
        assert service.changes == [{"replicas": 2, "batch": 64}]

    with_service(scenario)


def test_an_answer_with_another_setting_is_a_failure():
    async def scenario(service, actuator):
        service.obeys = False
        with pytest.raises(ActuationError, match="the service has"):
            await actuator.change("classify", {"replicas": 2})
        for wrong in ("", "[]", "{}", "\"x\"", "null"):
            service.text = wrong
            with pytest.raises(ActuationError, match="answered"):
                await actuator.running("classify")
        with pytest.raises(ActuationError, match="404"):
            await actuator.running("nobody")

    with_service(scenario)


def test_the_setting_may_come_inside_the_whole_record():
    async def scenario(service, actuator):
        service.text = message(replicas=4, batch=16).decode()
        assert await actuator.running("classify") == Running(4, 16, 1)

    with_service(scenario)


def test_a_service_that_is_away_is_an_actuation_error():
    async def scenario():
        async with ServiceActuator("http://127.0.0.1:1", timeout_s=0.5) as actuator:
            with pytest.raises(ActuationError):
                await actuator.running("classify")
            loop = control_loop(actuator)
            assert (await loop.step(1000.0))["stages"]["classify"]["reason"] == "hold: no telemetry yet"

    asyncio.run(scenario())


def test_a_record_is_due_when_something_changes_and_every_thirty_seconds():
    async def scenario(service, actuator):
        loop = control_loop(actuator)
        due = []
        for second in range(70):
            if second < 50:
                loop.take(service.telemetry(second), 1000.0 + second)
            if await loop.step(1000.0 + second) is not None:
                due.append(second)
        assert due == [0, 30, 55]  # the first, 30 s on, telemetry stale

    with_service(scenario)


def test_telemetry_records_are_counted_by_what_became_of_them():
    async def scenario(service, actuator):
        loop = control_loop(actuator)
        for value in (b"{", message(pipeline="scenes"), message(stage="nobody"), message(arrivals=-1), service.telemetry(0),
                      service.telemetry(0), service.telemetry(4)):
            loop.take(value, 1004.0)
        outcomes = ("wrong-malformed", "foreign", "unknown-stage", "wrong-range", "accepted", "repeated", "missing")
        counts = [metric(loop, f"sluice_autoscaler_telemetry_records_total{{outcome={outcome}}}") for outcome in outcomes]
        assert counts == [1, 1, 1, 1, 2, 1, 3]

    with_service(scenario)


def test_the_metrics_are_named_as_the_design_says():
    async def scenario(service, actuator):
        loop = control_loop(actuator)
        loop.take(service.telemetry(0), 1000.0)
        await loop.step(1000.0)
        text = generate_latest(loop.metrics.registry).decode()
        for line in ('sluice_autoscaler_decisions_total{action="keep",pipeline="digits",stage="classify"} 1.0',
                     'sluice_autoscaler_telemetry_records_total{outcome="accepted"} 1.0',
                     'sluice_autoscaler_desired_replicas{pipeline="digits",stage="classify"} 1.0',
                     'sluice_autoscaler_actuation_failures_total{pipeline="digits",stage="classify"} 0.0'):
            assert line in text
        assert 'sluice_autoscaler_telemetry_age_seconds{pipeline="digits",stage="classify"}' in text
        assert 'sluice_build_info{component="autoscaler"' in text

    with_service(scenario)
