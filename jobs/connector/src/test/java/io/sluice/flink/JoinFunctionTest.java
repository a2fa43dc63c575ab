package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

class JoinFunctionTest {

    private static final long HORIZON_MS = 2000;
    private static final Event PARENT = Events.event(4, "in").withSlot(0, Events.utf8("kept")).withSlot(1, Events.utf8("child's"));

    private KeyedOneInputStreamOperatorTestHarness<String, Event, Event> harness;

    private static JoinSettings settings() {
        return new JoinSettings("gather", "split", HORIZON_MS).clear(1);
    }

    private void open(JoinSettings settings) throws Exception {
        harness = new KeyedOneInputStreamOperatorTestHarness<>(
                new KeyedProcessOperator<>(new JoinFunction(settings)), new JoinFunction.Parent(), Types.STRING);
        harness.setup(new EventTypeSerializer());
        harness.open();
    }

    private void send(Event... events) throws Exception {
        for (Event event : events) {
            harness.processElement(event, Events.TIMESTAMP_MS);
        }
    }

    private List<Event> out() {
        return harness.extractOutputValues();
    }

    private static Event child(int index, int count, String value) {
        return Events.child(PARENT, index, count, value);
    }

    private static Event failedChild(int index, int count) {
        return child(index, count, "x").withFailure(new Failure("read", "bad-input", "d"));
    }

    @Test
    void theLastChildSendsTheParentOn() throws Exception {
        open(settings());
        send(child(2, 3, "{\"n\":2}").withValue(Events.utf8("22"), Events.trace("read", 2)), child(0, 3, "0"));
        assertEquals(0, out().size());
        send(child(1, 3, null));
        Event parent = out().get(0);
        assertEquals("[0,null,22]", Events.text(parent.value));
        assertEquals(0, parent.frames.length);
        assertEquals("kept", Events.text(parent.slot(0)));
        assertNull(parent.slot(1));
        assertEquals(List.of(Events.trace("split", -1), Events.trace("read", 2)), List.of(parent.traces));
        assertEquals(0, harness.numKeyedStateEntries());
        assertEquals(0, harness.numProcessingTimeTimers());
    }

    @Test
    void noChildrenMakeAnEmptyArrayAndOneChildAnArrayOfOne() throws Exception {
        open(settings());
        send(Events.noChildren(PARENT), child(0, 1, "7"));
        assertEquals(List.of("[]", "[7]"), out().stream().map(event -> Events.text(event.value)).toList());
        assertEquals(0, harness.numKeyedStateEntries());
    }

    @Test
    void whatWasNotFannedOutHerePasses() throws Exception {
        open(settings());
        Event other = PARENT.withFrames(Frames.push(PARENT.frames, Frames.number("elsewhere"), 0, 2, 0));
        send(PARENT, other, PARENT.withFailure(new Failure("split", "bad-input", "")));
        assertEquals(3, out().size());
        assertEquals(other, out().get(1));
    }

    @Test
    void anInnerJoinMeetsOnlyTheChildrenOfOneChild() throws Exception {
        open(settings());
        Event first = PARENT.withFrames(Frames.push(PARENT.frames, Frames.number("outer"), 0, 2, 0));
        Event second = PARENT.withFrames(Frames.push(PARENT.frames, Frames.number("outer"), 1, 2, 0));
        send(Events.child(first, 0, 2, "a"), Events.child(second, 1, 2, "d"), Events.child(second, 0, 2, "c"));
        assertEquals("[c,d]", Events.text(out().get(0).value));
        assertEquals(1, Frames.depth(out().get(0).frames));
        assertEquals(1, Frames.index(out().get(0).frames, 0));
    }

    @Test
    void aFailedChildFailsTheParent() throws Exception {
        open(settings());
        send(failedChild(1, 2), child(0, 2, "0"));
        assertEquals(new Failure("gather", "child-failed", "1: bad-input"), out().get(0).failure);
    }

    @Test
    void aFailedChildIsNullInAPartialJoinUnlessAllFailed() throws Exception {
        open(settings().partial());
        send(failedChild(1, 2), child(0, 2, "0"));
        assertEquals("[0,null]", Events.text(out().get(0).value));
        send(failedChild(1, 2), failedChild(0, 2));
        assertEquals(new Failure("gather", "child-failed", "0: bad-input, 1: bad-input"), out().get(1).failure);
    }

    @Test
    void atTheHorizonTheParentGoesOnOnceAndLateChildrenAreDropped() throws Exception {
        open(settings().partial());
        harness.setProcessingTime(0);
        send(child(1, 2, "1"));
        harness.setProcessingTime(HORIZON_MS - 1);
        assertEquals(0, out().size());
        harness.setProcessingTime(HORIZON_MS);
        assertEquals("[null,1]", Events.text(out().get(0).value));
        send(child(0, 2, "0"));
        assertEquals(1, out().size());
        harness.setProcessingTime(11 * HORIZON_MS);
        assertEquals(0, harness.numKeyedStateEntries());
    }

    @Test
    void atTheHorizonAnIncompleteParentIsADeadLetterIfSoWanted() throws Exception {
        open(settings());
        harness.setProcessingTime(0);
        send(child(1, 3, "1"), failedChild(2, 3));
        harness.setProcessingTime(HORIZON_MS);
        assertEquals(new Failure("gather", "join-timeout", "0: missing, 2: bad-input"), out().get(0).failure);
    }

    @Test
    void rawValuesAreBase64() throws Exception {
        open(settings().raw().retain(5));
        send(child(0, 2, "hi"), child(1, 2, ""));
        assertEquals("[\"aGk=\",\"\"]", Events.text(out().get(0).value));
        assertEquals("[\"aGk=\",\"\"]", Events.text(out().get(0).slot(5)));
    }

    @Test
    void halfAFamilySurvivesARestart() throws Exception {
        open(settings());
        harness.setProcessingTime(0);
        send(child(1, 2, "1"));
        var snapshot = harness.snapshot(1, 1);
        harness.close();
        harness = new KeyedOneInputStreamOperatorTestHarness<>(
                new KeyedProcessOperator<>(new JoinFunction(settings())), new JoinFunction.Parent(), Types.STRING);
        harness.setup(new EventTypeSerializer());
        harness.initializeState(snapshot);
        harness.open();
        send(child(0, 2, "0"));
        assertEquals("[0,1]", Events.text(out().get(0).value));
        assertTrue(harness.numProcessingTimeTimers() == 0);
    }
}
