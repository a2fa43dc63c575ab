package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.api.operators.ProcessOperator;
import org.apache.flink.streaming.util.AbstractStreamOperatorTestHarness;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

class ResequencerTest {

    private KeyedOneInputStreamOperatorTestHarness<String, Event, Event> resequencer() throws Exception {
        var harness = new KeyedOneInputStreamOperatorTestHarness<>(
                new KeyedProcessOperator<>(new Resequencer()), new Resequencer.Partition(), Types.STRING);
        harness.setup(new EventTypeSerializer());
        return harness;
    }

    private static Event event(long sequence) {
        return Events.event(1000 + 3 * sequence, "e" + sequence).withSequence(sequence);
    }

    private static List<String> values(OneInputStreamOperatorTestHarness<Event, Event> harness) {
        return harness.extractOutputValues().stream().map(event -> Events.text(event.value)).toList();
    }

    @Test
    void eventsComeOutInTheOrderOfTheirSequence() throws Exception {
        var harness = resequencer();
        harness.open();
        Event failed = event(2).withFailure(new Failure("a", "bad-input", ""));
        for (Event event : List.of(event(3), event(1), failed, event(0), event(4))) {
            harness.processElement(event, 0);
        }
        assertEquals(List.of("e0", "e1", "e2", "e3", "e4"), values(harness));
        assertEquals(1, harness.numKeyedStateEntries()); // the next number alone
    }

    @Test
    void childrenWaitForEachOtherAndComeOutByIndex() throws Exception {
        var harness = resequencer();
        harness.open();
        Event parent = event(0);
        Event second = Events.child(parent, 1, 2, "b");
        for (Event event : List.of(event(1), Events.child(second, 1, 2, "b1"), Events.child(parent, 0, 2, "a"), Events.noChildren(event(2)))) {
            harness.processElement(event, 0);
        }
        assertEquals(List.of(), values(harness));
        harness.processElement(Events.child(second, 0, 2, "b0"), 0);
        assertEquals(java.util.Arrays.asList("a", "b0", "b1", "e1", null), values(harness));
    }

    @Test
    void earlyEventsSurviveARestart() throws Exception {
        var harness = resequencer();
        harness.open();
        harness.processElement(event(0), 0);
        harness.processElement(event(2), 0);
        OperatorSubtaskState snapshot = harness.snapshot(1, 1);
        var next = resequencer();
        next.initializeState(snapshot);
        next.open();
        next.processElement(event(1), 0);
        assertEquals(List.of("e1", "e2"), values(next));
    }

    private static OneInputStreamOperatorTestHarness<Event, Event> stamp(int parallelism, int index) throws Exception {
        return new OneInputStreamOperatorTestHarness<>(new ProcessOperator<>(new SequenceStamp()), 8, parallelism, index);
    }

    private static Event from(int partition, long offset) {
        Origin origin = new Origin("in", partition, offset, 0, null, null, EventHeaders.NONE, 0, -1, Origin.PLAIN_WORTH);
        return Event.read(origin, false);
    }

    private static List<Long> sequences(OneInputStreamOperatorTestHarness<Event, Event> harness) {
        return harness.extractOutputValues().stream().map(event -> event.sequence).toList();
    }

    @Test
    void eachPartitionIsNumberedWithoutGapsAlsoAfterARescale() throws Exception {
        var stamp = stamp(1, 0);
        stamp.open();
        for (Event event : List.of(from(0, 5), from(1, 70), from(0, 9), from(0, 10))) {
            stamp.processElement(event, 0);
        }
        assertEquals(List.of(0L, 0L, 1L, 2L), sequences(stamp));
        OperatorSubtaskState snapshot = stamp.snapshot(1, 1);
        for (int subtask = 0; subtask < 2; subtask++) {
            OperatorSubtaskState part = AbstractStreamOperatorTestHarness.repartitionOperatorState(snapshot, 8, 1, 2, subtask);
            var scaled = stamp(2, subtask);
            scaled.initializeState(part);
            scaled.open();
            scaled.processElement(from(subtask, 99), 0);
            assertEquals(List.of(subtask == 0 ? 3L : 1L), sequences(scaled));
        }
    }
}
