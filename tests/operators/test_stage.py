import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.graph.pipeline import OnLate
from operators.actions import Cause, Setting, Status, Wake
from operators.batching import EarlyDropRule, FixedRule, Reason
from operators.stage import Stage
from tests.operators.builders import FIRST, SECOND, Simulated


def test_an_idle_replica_gets_rows_at_once():
    stage = Simulated()
    stage.arrive("a", 3)
    assert stage.rows_of(0) == [("a", 0), ("a", 1), ("a", 2)]
    stage.finish(0)
    assert stage.answers == {("a", 0): Status.OK, ("a", 1): Status.OK, ("a", 2): Status.OK}


def test_rows_wait_for_the_first_replica():
    stage = Simulated(ready=False)
    stage.arrive("a", 2)
    assert stage.stage.queued == 2
    stage.load(0)
    assert stage.stage.in_flight == 2


def test_rows_past_their_deadline_are_answered_late():
    stage = Simulated()
    stage.arrive("a", 1, deadline_s=0.5)
    stage.finish(0, seconds=1.0)
    assert stage.answers == {("a", 0): Status.LATE}


def test_a_stage_that_dead_letters_answers_hopeless_rows_at_once():
    stage = Simulated(on_late=OnLate.DEAD_LETTER)
    stage.arrive("busy", 1)
    stage.arrive("a", 2, deadline_s=0.1)
    stage.arrive("b", 1, deadline_s=0.1, keep=True)
    stage.tick(0.2)
    assert stage.answers == {("a", 0): Status.EXPIRED, ("a", 1): Status.EXPIRED}
    stage.finish(0)
    stage.finish(0)
    assert stage.answers[("b", 0)] == Status.LATE


def test_a_stage_that_drains_answers_even_hopeless_rows():
    stage = Simulated(on_late=OnLate.DEAD_LETTER)
    stage.arrive("busy", 1)
    stage.arrive("a", 1, deadline_s=0.1)
    stage.apply(stage.stage.drain(stage.now))
    stage.tick(0.2)
    stage.finish(0)
    stage.finish(0)
    assert stage.answers[("a", 0)] == Status.LATE


def test_early_drop_expires_rows_whatever_the_stage_does_with_late_ones():
    stage = Simulated(rule=EarlyDropRule())
    stage.arrive("busy", 1)
    stage.arrive("a", 1, deadline_s=0.1)
    stage.finish(0, seconds=0.2)
    assert stage.answers[("a", 0)] == Status.EXPIRED


def test_failed_rows_do_not_touch_their_neighbours():
    stage = Simulated()
    stage.arrive("a", 3)
    stage.finish(0, failed=[("a", 1)])
    assert stage.answers == {("a", 0): Status.OK, ("a", 1): Status.FAILED, ("a", 2): Status.OK}
    assert stage.reasons == {("a", 1): "operator-error: no"}


def test_only_the_poison_row_is_condemned():
    stage = Simulated(batch=512)
    stage.arrive("a", 512)
    stage.settle(poison=[("a", 300)])
    assert [row for row, status in stage.answers.items() if status != Status.OK] == [("a", 300)]
    assert stage.reasons[("a", 300)].startswith("poison: ")
    assert len(stage.answers) == 512
    assert not stage.repeated
    assert stage.started == 12  # the first; after the batch, its 9 halves down to one row and that row again: 11


def test_healthy_rows_flow_while_others_are_in_quarantine():
    stage = Simulated(batch=4)
    stage.arrive("a", 4)
    stage.die(0)
    stage.arrive("b", 4)
    stage.load_all()
    assert stage.rows_of(1) == [("b", 0), ("b", 1), ("b", 2), ("b", 3)]
    stage.finish(1)
    assert stage.rows_of(1) == [("a", 0), ("a", 1)]


def test_one_replica_at_a_time_risks_quarantined_rows():
    stage = Simulated(replicas=2, batch=4)
    stage.arrive("a", 4)
    stage.die(0)
    assert stage.rows_of(1) == [("a", 0), ("a", 1)]
    stage.load_all()
    assert list(stage.running) == [1]


def test_kills_from_outside_condemn_nobody():
    stage = Simulated()
    stage.arrive("a", 1)
    for number in range(50):
        stage.die(number, Cause.KILLED if number % 2 else Cause.STOPPED)
        stage.load_all()
    stage.finish(50)
    assert stage.answers == {("a", 0): Status.OK}


def test_a_row_that_dies_alone_of_want_of_memory_is_condemned_in_the_end():
    stage = Simulated()
    stage.arrive("a", 1)
    for number in range(20):
        assert not stage.answers
        stage.die(number, Cause.MEMORY)
        stage.load_all()
    assert stage.reasons[("a", 0)].startswith("poison: the replica died 20 times")


def test_a_row_that_dies_in_company_is_not_condemned():
    stage = Simulated()
    stage.arrive("a", 2)
    stage.die(0)
    stage.load_all()
    stage.die(1)
    stage.settle()
    assert set(stage.answers.values()) == {Status.OK}


def test_replicas_that_keep_dying_start_later_and_later():
    stage = Simulated(ready=False)
    delays = []
    for number in range(6):
        (start,) = [action for action in stage.stage.replica_died(number, 0.0, Cause.CRASH, "exit") if hasattr(action, "delay_s")]
        delays.append(start.delay_s)
    assert delays == [0.0, 0.0, 0.1, 0.2, 0.4, 0.8]


def test_fewer_replicas_finish_what_they_run():
    stage = Simulated(replicas=2, batch=1)
    stage.arrive("a", 2)
    stage.change(replicas=1)
    assert stage.stopped == []
    stage.finish(0)
    stage.finish(1)
    assert len(stage.stopped) == 1
    assert len(stage.answers) == 2


def test_a_new_variant_takes_over_once_it_is_ready():
    stage = Simulated(replicas=1, batch=1)
    stage.arrive("a", 2)
    stage.change(variant=SECOND)
    assert stage.loading == {1: SECOND}
    assert stage.stopped == []
    stage.finish(0)
    assert list(stage.running) == [0]  # the old one goes on meanwhile
    stage.load(1)
    stage.finish(0)
    assert stage.stopped == [0]
    stage.arrive("b", 1)
    assert list(stage.running) == [1]


def test_a_new_variant_that_never_loads_leaves_the_old_one_at_work():
    stage = Simulated()
    stage.change(variant=SECOND)
    stage.die(1)
    stage.die(0)  # the old one, killed
    assert sorted(variant.name for variant in stage.loading.values()) == ["first", "second"]


def test_a_replica_that_hangs_is_killed_once():
    stage = Simulated(hang_s=5.0)
    stage.arrive("a", 1)
    stage.tick(4.9)
    assert stage.killed == []
    stage.tick(0.2)
    stage.tick(0.2)
    assert stage.killed == [0]


def test_the_hang_limit_follows_the_slowest_batch_but_not_below_its_floor():
    stage = Simulated(hang_s=120.0)
    stage.arrive("a", 1)
    stage.finish(0, seconds=0.01)
    stage.arrive("b", 1)
    stage.tick(9.9)
    assert stage.killed == []
    stage.tick(0.2)
    assert stage.killed == [0]  # 10 * 0.01 s is below the floor of 10 s
    stage.die(0)
    stage.load_all()
    stage.finish(1, seconds=3.0)
    stage.arrive("c", 1)
    stage.tick(7.5)  # what was due before
    stage.tick(22.4)
    assert stage.killed == [0]
    stage.tick(0.2)
    assert stage.killed == [0, 1]  # 10 * 3 s


def test_a_stage_that_was_held_up_itself_kills_nobody_for_it():
    stage = Simulated(hang_s=5.0)
    stage.arrive("a", 1)
    stage.tick(60.0)
    assert stage.killed == []
    stage.tick(4.9)
    assert stage.killed == []
    stage.tick(0.2)
    assert stage.killed == [0]


def test_when_a_batch_will_have_hung_is_told_once_and_again_by_every_tick():
    stage = Stage(Setting(FIRST, replicas=2, batch=1), hang_s=5.0)
    stage.start(0.0)
    for number in (0, 1):
        stage.replica_ready(number, 0.0)
    told = [stage.arrive("a", np.array([9.0]), 1.0), stage.arrive("b", np.array([9.0]), 2.0), stage.tick(3.0)]
    assert [[action for action in actions if isinstance(action, Wake)] for actions in told] == [[Wake(6.0)], [], [Wake(6.0)]]  # 1 s + 5 s


def test_changing_back_before_the_new_variant_is_ready_costs_nothing():
    stage = Simulated()
    stage.change(variant=SECOND)
    stage.change(variant=FIRST)
    assert stage.stopped == [1]
    assert stage.idle == {0}


def test_the_version_that_a_replica_finds_becomes_the_setting():
    stage = Simulated(ready=False)
    stage.stage.replica_ready(0, 0.0, version="7")
    assert stage.stage.setting.variant.version == "7"


def test_forgotten_requests_get_no_answer():
    stage = Simulated()
    stage.arrive("busy", 1)
    stage.arrive("a", 2)
    assert sum(map(len, stage.stage.forget(lambda request: request == "a"))) == 2
    stage.settle()
    assert list(stage.answers) == [("busy", 0)]


def test_drain_releases_what_waits():
    stage = Simulated(rule=FixedRule(size=8, max_wait_s=100))
    stage.arrive("a", 3)
    assert not stage.running
    stage.apply(stage.stage.drain(stage.now))
    assert stage.running[0].reason == Reason.FLUSH
    stage.finish(0)
    assert stage.stage.idle


def test_an_impossible_share_is_refused():
    with pytest.raises(ValueError, match="deadline_share is 0"):
        type(Simulated().stage)(Simulated().stage.setting, deadline_share=0)


def with_lost_rows(hopeful):
    """A stage that has set 8 rows, `lost`, aside for as many others, `third`; the first of these run."""
    stage = Simulated(batch=8)
    stage.arrive("first", 8)
    stage.finish(0, seconds=0.01)
    stage.arrive("second", 8)
    stage.arrive("lost", 8, deadline_s=0.005)
    stage.arrive("third", hopeful, deadline_s=1.0)
    stage.finish(0, seconds=0.01)
    return stage


def test_rows_that_are_lost_make_way_and_are_answered_late():
    stage = with_lost_rows(hopeful=8)
    assert stage.rows_of(0) == [("third", row) for row in range(8)]
    assert (stage.stage.aside, stage.stage.queued) == (8, 8)
    stage.finish(0, seconds=0.01)
    assert stage.rows_of(0) == [("lost", row) for row in range(8)]
    stage.finish(0, seconds=0.01)
    assert [stage.answers["lost", row] for row in range(8)] == [Status.LATE] * 8
    assert stage.answers["third", 0] == Status.OK


def test_draining_answers_rows_set_aside_too():
    stage = with_lost_rows(hopeful=12)
    stage.apply(stage.stage.drain(stage.now))
    stage.finish(0)
    assert stage.rows_of(0) == [*(("third", row) for row in range(8, 12)), *(("lost", row) for row in range(4))]
    stage.settle()
    assert stage.stage.idle


STEP = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 20), st.sampled_from([0.02, 1.0])),
    st.tuples(st.just("finish"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("die"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("load"), st.integers(0, 5), st.none()),
    st.tuples(st.just("tick"), st.sampled_from([0.001, 0.05]), st.none()),
    st.tuples(st.just("replicas"), st.integers(1, 4), st.none()),
    st.tuples(st.just("variant"), st.sampled_from([FIRST, SECOND]), st.none()),
    st.tuples(st.just("batch"), st.integers(1, 16), st.none()),
    st.tuples(st.just("cores"), st.integers(1, 2), st.none()),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=60), st.sampled_from(OnLate), st.sampled_from([None, FixedRule(5, 0.03), EarlyDropRule(4)]))
def test_every_row_is_answered_exactly_once(steps, on_late, rule):
    stage, sent = Simulated(on_late=on_late, rule=rule), []
    for number, (step, value, extra) in enumerate(steps):
        if step == "arrive":
            stage.arrive(number, value, deadline_s=extra)
            sent += [(number, row) for row in range(value)]
        elif step == "finish" and stage.running:
            at = sorted(stage.running)[value % len(stage.running)]
            stage.finish(at, failed=stage.rows_of(at)[:1] if extra else ())
        elif step == "die" and {*stage.running, *stage.idle, *stage.loading}:
            living = sorted({*stage.running, *stage.idle, *stage.loading})
            stage.die(living[value % len(living)], Cause.KILLED if extra else Cause.CRASH)
        elif step == "load" and stage.loading:
            stage.load(sorted(stage.loading)[value % len(stage.loading)])
        elif step == "tick":
            stage.tick(value)
        elif step in ("replicas", "variant", "batch", "cores"):
            stage.change(**{step: value})
    stage.settle()
    assert sorted(stage.answers) == sorted(sent)
    assert stage.repeated == []
    assert stage.stage.ready == stage.stage.setting.replicas
