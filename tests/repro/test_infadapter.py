"""InfAdapter's reproduction: pods from capacities, servers shown as pods, and that a short case runs."""

from math import inf

import pytest

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.policy import Decision, Forecast, Pool, StageState, State, Target
from bench.repro import infadapter
from bench.repro.infadapter_pods import Pod, Pods, Row, calibrated, capacity_at, of_pods, p99_ms, pods, residuals, service_at
from bench.repro.runs import BOUND
from bench.repro.study import Study
from tests.repro.found import found_of

SLAS = (500.0, 750.0, 1000.0, 1500.0)


def rows(servers: int, service_ms: float, cores: int = 4, factor: float = 1.0) -> list[Row]:
    return [Row("50", cores, sla_ms, factor * capacity_at(service_ms, sla_ms, servers)) for sla_ms in SLAS]


@pytest.mark.parametrize("servers", [1, 2, 4, 8])
def test_a_pod_is_found_again(servers):
    pod = calibrated(rows(servers, 60.0))
    assert pod.servers == servers
    assert pod.service_ms == pytest.approx(60.0, rel=1e-3)
    assert max(abs(value) for value in pod.capacity.values()) < 1e-3


def test_capacities_that_no_pod_has_leave_a_residual():
    wrong = [Row("50", 4, sla_ms, rate) for sla_ms, rate in zip(SLAS, (40.0, 20.0, 40.0, 20.0), strict=True)]
    assert max(abs(value) for value in calibrated(wrong).capacity.values()) > 0.2


def test_capacity_and_service_time_are_inverse():
    rate = capacity_at(80.0, 750.0, 4)
    assert service_at(rate, 750.0, 4) == pytest.approx(80.0, rel=1e-6)
    assert p99_ms(rate, 80.0, 4) == pytest.approx(750.0, rel=1e-6)
    assert p99_ms(50.0, 80.0, 4) == inf  # 4 servers carry 50/s of 80 ms at most


class Asks:
    """Remembers what it saw; asks for one pod."""

    name, interval_s = "asks", 30.0

    def __init__(self, problem: Problem, wanted: Option) -> None:
        self.problem, self.wanted, self.saw = problem, wanted, None

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        self.saw = state
        return Decision({"resnet": Target((Share(self.wanted, 1, 1.0),))}, memory, "")


def test_servers_are_shown_and_asked_for_as_pods():
    small, large = Pod("50", 4, 4, 60.0, {}, {}), Pod("50", 8, 16, 130.0, {}, {})
    options = tuple(Option("50", 1, float(pod.cores), pod.service_ms, 1.0, 0.7613, float(pod.cores)) for pod in (small, large))
    policy = Asks(Problem((StageModel("resnet", options),), 10.0, 750.0, Weighted(1.0, 0.05), NoWait()), options[1])
    state = State(0.0, (10.0,), {"resnet": StageState((Pool(small.server(), 3, 5, 1.0),))})
    decision = Pods(policy, {pod.name: pod for pod in (small, large)}).decide(state, Forecast(60.0, {}), "kept")
    (seen,) = policy.saw.stages["resnet"].pools
    assert (seen.option, seen.ready, seen.starting) == (options[0], 0, 2)  # 3 of 4 servers are no pod yet
    assert decision.targets["resnet"].shares == (Share(large.server(), 16, 1.0),)
    assert decision.memory == "kept"


def test_a_server_holds_its_part_of_the_pod():
    pod = Pod("50", 8, 16, 130.0, {}, {})
    assert (pod.server().units, pod.server().cost, pod.server().variant) == (0.5, 0.5, "50@8")


@pytest.mark.data
def test_every_row_with_a_p99_is_in_a_pod(shared):
    found = residuals()
    assert found["rows"] == 391  # 400, 9 of them empty
    assert len(pods()) <= 100
    assert found["capacity_median"] < 0.1


@pytest.mark.data
def test_a_planner_sees_whole_pods(shared):
    setting = infadapter.setting((90.0,) * 10, (90.0,) * 60)
    (stage,) = of_pods(setting.problem).stages
    eight = next(option for option in stage.options if (option.variant, option.units) == ("18", 8.0))
    assert eight.throughput == pytest.approx(190, rel=0.2)  # published capacity at 750 ms
    assert {option.variant for option in stage.options} == {"18", "34", "50", "101", "152"}


@pytest.mark.data
def test_a_short_case_runs(shared):
    run = infadapter.on_window(quick=True, half_life_s=60.0)
    names = ("vpa-50", "sluice, same levers")  # without the network, which torch trains
    rows_found = found_of(Study("x", "X", (infadapter.case("x", run, names),), {})).headline["x"]
    for name in names:
        assert 0 <= rows_found.values(name, "violation_share")[0] < 1
        assert rows_found.values(name, "cost")[0] > rows_found.values(BOUND, "cost")[0]
    assert rows_found.values("vpa-50", "accuracy")[0] == pytest.approx(0.7613)
