from simulator.loop import Loop, Priority


def test_events_come_by_time_then_priority_then_as_they_were_scheduled():
    loop, seen = Loop(), []
    for time_s, priority, what in [(2.0, Priority.ARRIVAL, "d"), (1.0, Priority.WAKE, "b"), (1.0, Priority.DONE, "a"), (1.0, Priority.WAKE, "c")]:
        loop.at(time_s, priority, lambda now_s, what: seen.append((now_s, what)), what)
    loop.run(9.0)
    assert seen == [(1.0, "a"), (1.0, "b"), (1.0, "c"), (2.0, "d")]


def test_a_run_ends_before_its_time_and_goes_on_from_there():
    loop, seen = Loop(), []
    for time_s in (1.0, 2.0, 3.0):
        loop.at(time_s, Priority.DONE, lambda now_s, _: seen.append(now_s))
    loop.run(2.0)
    assert (seen, loop.now_s, loop.events) == ([1.0], 1.0, 1)
    loop.run(9.0)
    assert (seen, loop.now_s, loop.events) == ([1.0, 2.0, 3.0], 3.0, 3)


def test_nothing_comes_after_a_stop():
    loop, seen = Loop(), []
    loop.at(1.0, Priority.DONE, lambda now_s, _: loop.stop())
    loop.at(2.0, Priority.DONE, lambda now_s, _: seen.append(now_s))
    loop.run(9.0)
    assert (seen, loop.now_s, loop.events) == ([], 1.0, 1)
