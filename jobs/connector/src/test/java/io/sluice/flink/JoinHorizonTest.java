package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** What a restart and an outage do to the horizon of a join. */
class JoinHorizonTest {

    private static final long HORIZON_MS = 2000;
    private static final Event PARENT = Events.event(4, "in");

    private static KeyedOneInputStreamOperatorTestHarness<String, Event, Event> harness(long nowMs, OperatorSubtaskState state) throws Exception {
        JoinFunction join = new JoinFunction(new JoinSettings("gather", "split", HORIZON_MS).partial());
        KeyedOneInputStreamOperatorTestHarness<String, Event, Event> harness =
                new KeyedOneInputStreamOperatorTestHarness<>(new KeyedProcessOperator<>(join), new JoinFunction.Parent(), Types.STRING);
        harness.setup(new EventTypeSerializer());
        harness.setProcessingTime(nowMs);
        if (state != null) {
            harness.initializeState(state);
        }
        harness.open();
        return harness;
    }

    private static List<String> values(KeyedOneInputStreamOperatorTestHarness<String, Event, Event> harness) {
        return harness.extractOutputValues().stream().map(event -> Events.text(event.value)).toList();
    }

    @Test
    void aRestartGivesAnOverdueParentANewHorizon() throws Exception {
        OperatorSubtaskState state;
        try (var before = harness(1000, null)) {
            before.processElement(Events.child(PARENT, 0, 2, "0"), 0);
            state = before.snapshot(1, 1);
        }
        try (var after = harness(60_000, state)) {
            after.setProcessingTime(60_001);
            assertEquals(List.of(), values(after));
            after.processElement(Events.child(PARENT, 1, 2, "1"), 0);
            assertEquals(List.of("[0,1]"), values(after));
        }
        try (var after = harness(60_000, state)) {
            after.setProcessingTime(60_001);
            after.setProcessingTime(60_001 + HORIZON_MS);
            assertEquals(List.of("[0,null]"), values(after));
        }
    }

    @Test
    void theBacklogOfAnOutageWaitsLonger() throws Exception {
        try (var harness = harness(0, null)) {
            harness.processElement(Events.child(PARENT, 0, 3, "0"), 0);
            harness.processElement(Events.child(PARENT, 1, 3, "1").withExcused(), 0);
            harness.setProcessingTime(30 * HORIZON_MS - 1);
            assertEquals(List.of(), values(harness));
            harness.setProcessingTime(30 * HORIZON_MS);
            assertEquals(List.of("[0,1,null]"), values(harness));
        }
    }
}
