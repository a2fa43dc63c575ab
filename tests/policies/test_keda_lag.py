from dataclasses import replace

from autoscaler.policies.keda_lag import KedaLag
from autoscaler.policies.policy import StageState
from tests.policies.suite import NO_FORECAST, problem, state

ROOMY = problem({"only": ()}, cores=100.0)
TO_ZERO = replace(ROOMY, stages=(replace(ROOMY.stages[0], least=0),))


def run(policy, of, lags, replicas, every_s=15.0):
    """Replicas after each decision; what is decided runs at once."""
    memory, seen, after = None, [], state(of, replicas=replicas, now_s=0.0) if replicas else None
    for tick, lag in enumerate(lags):
        stage = (after.stages["only"] if after else StageState(()))
        now = replace(state(of, now_s=every_s * tick), stages={"only": replace(stage, lag=lag)})
        decision = policy.decide(now, NO_FORECAST, memory)
        shares = decision.targets["only"].shares
        replicas, memory = sum(share.replicas for share in shares), decision.memory
        after = state(of, replicas=replicas) if replicas else None
        seen.append(replicas)
    return seen


def test_one_replica_for_each_ten_records():
    assert run(KedaLag(ROOMY), ROOMY, [45], 4) == [5]
    assert run(KedaLag(ROOMY), ROOMY, [44], 4) == [4]  # 1.1 of what four are for: within the tolerance
    assert run(KedaLag(ROOMY, lag_threshold=100.0), ROOMY, [301], 2) == [4]


def test_rows_waiting_before_a_later_stage_count_as_lag():
    seen = state(ROOMY, replicas=2, queue=35, lag=0)
    assert KedaLag(ROOMY).decide(seen, NO_FORECAST).targets["only"].shares[0].replicas == 4


def test_no_more_than_partitions():
    assert run(KedaLag(ROOMY, partitions=3), ROOMY, [500], 2) == [3]


def test_up_no_faster_than_the_autoscaler_behind_it():
    assert run(KedaLag(ROOMY), ROOMY, [1000] * 3, 1) == [5, 10, 12]  # + 4, double, most


def test_down_after_the_window_of_the_autoscaler():
    seen = run(KedaLag(ROOMY), ROOMY, [80] + [10] * 21, 8)
    assert seen.index(1) == 20  # 300 s after the wish of 0 s
    assert set(seen[:20]) == {8}


def test_to_none_only_after_the_cooldown_and_only_where_allowed():
    assert run(KedaLag(TO_ZERO), TO_ZERO, [5] + [0] * 20, 1)[-2:] == [1, 0]  # 300 s after the last lag
    assert run(KedaLag(ROOMY), ROOMY, [5] + [0] * 60, 1)[-1] == 1


def test_from_none_to_one_at_the_next_poll():
    assert run(KedaLag(TO_ZERO), TO_ZERO, [0, 3, 3], 0) == [0, 0, 1]  # polled at 0 s and 30 s
    assert run(KedaLag(TO_ZERO, activation_lag=5.0), TO_ZERO, [5, 5, 5], 0) == [0, 0, 0]
