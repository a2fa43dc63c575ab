package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.streaming.runtime.tasks.StreamTaskActionExecutor;
import org.apache.flink.streaming.runtime.tasks.mailbox.MailboxExecutorImpl;
import org.apache.flink.streaming.runtime.tasks.mailbox.TaskMailbox;
import org.apache.flink.streaming.util.AbstractStreamOperatorTestHarness;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A stage with state: order in each key, checkpoints at any moment, failures and outages, time to live. */
@Timeout(60)
class KeyedProxyOperatorTest {

    private static final long TTL_MS = 1000;
    private static final int MAX_PARALLELISM = 16;
    private long offset;

    /** The operator with what drives it. */
    private static final class Stage implements AutoCloseable {
        final KeyedOneInputStreamOperatorTestHarness<String, Event, Event> harness;
        private final MailboxExecutor mails;

        Stage(ProxySettings settings, OperatorSubtaskState from, int parallelism, int index) throws Exception {
            harness = new KeyedOneInputStreamOperatorTestHarness<>(
                    new ProxyOperatorFactory(settings), new StateKey(settings), Types.STRING, MAX_PARALLELISM, parallelism, index);
            mails = new MailboxExecutorImpl(harness.getTaskMailbox(), TaskMailbox.MIN_PRIORITY, StreamTaskActionExecutor.IMMEDIATE);
            harness.setup(new EventTypeSerializer());
            if (from != null) {
                harness.initializeState(from);
            }
            harness.open();
        }

        void take(Event... events) throws Exception {
            for (Event event : events) {
                harness.processElement(event, event.origin.timestampMs());
            }
        }

        List<Event> out() {
            return harness.extractOutputValues();
        }

        List<String> values() {
            return out().stream().map(event -> event.failed() ? event.failure.reason() : Events.text(event.value)).toList();
        }

        /** Runs the task's mails until so many events are out. */
        List<String> await(int events) throws Exception {
            Conditions.await(events + " events", () -> {
                while (mails.tryYield()) {}
                return out().size() >= events;
            });
            assertEquals(events, out().size());
            return values();
        }

        @Override
        public void close() throws Exception {
            harness.close();
        }
    }

    private static ProxySettings settings(TestService service) {
        return new ProxySettings("count", service.target()).state("", TTL_MS, 100);
    }

    private static Stage stage(TestService service, OperatorSubtaskState from) throws Exception {
        return new Stage(settings(service), from, 1, 0);
    }

    private Event event(String key, String value) {
        return at(Events.TIMESTAMP_MS, key, value);
    }

    private Event at(long timestampMs, String key, String value) {
        byte[] keyBytes = key == null ? null : Events.utf8(key);
        Origin origin = new Origin("in", 0, offset++, timestampMs, keyBytes, Events.utf8(value), EventHeaders.NONE, Events.NEVER_MS, -1, Origin.PLAIN_WORTH);
        return Event.read(origin, false);
    }

    /** A service that holds its answers back until told. */
    private static final class Held {
        final Queue<TestService.Call> calls = new ConcurrentLinkedQueue<>();
        private volatile boolean open;

        void call(TestService service, TestService.Call call) {
            if (open) {
                Turns.apply(call);
            } else {
                calls.add(call);
            }
        }

        void release() {
            open = true;
            calls.forEach(Turns::apply);
        }

        /** From now on calls are answered; those before never are. */
        void forget() {
            open = true;
            calls.clear();
        }

        void awaitCalls(int count) throws Exception {
            Conditions.await(count + " requests", () -> calls.size() >= count);
        }
    }

    @Test
    void aKeysEventsAreAppliedInOrderOneTurnAtATime() throws Exception {
        Held held = new Held();
        try (TestService service = TestService.started(held::call); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"));
            held.awaitCalls(1);
            stage.take(event("x", "b"), event("y", "1"), event("x", "c"), event("x", "d"));
            held.awaitCalls(2);
            held.release();

            List<String> values = stage.await(5);
            assertEquals(List.of("a", "ab", "abc", "abcd"), values.stream().filter(value -> value.startsWith("a")).toList());
            assertTrue(values.contains("1"));
            List<Turns.Taken> turns = Turns.sent(service);
            assertEquals(new Turns.Taken("", List.of("a")), turns.get(0));
            assertEquals(new Turns.Taken("", List.of("1")), turns.get(1)); // the rest of x waits for its answer
            assertEquals(List.of(new Turns.Taken("a", List.of("b", "c", "d"))), turns.subList(2, turns.size()));
        }
    }

    @Test
    void turnsOfManyKeysTravelTogetherAndMustBeAnswered() throws Exception {
        try (TestService service = new TestService((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            for (int i = 0; i < 50; i++) {
                stage.take(event("k" + i % 10, "v"));
            }
            service.start();
            stage.await(50);
            assertEquals(10, new TestService.Call(service.requests.peek(), null).rowBytes().size());
            assertTrue(service.requests.stream().allMatch(message -> new TestService.Call(message, null).has("keep")));
        }
    }

    @Test
    void aCheckpointHoldsWhatIsNotAppliedAndTheStatesBefore() throws Exception {
        Held held = new Held();
        OperatorSubtaskState state;
        try (TestService service = TestService.started(held::call); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("x", "b"));
            held.awaitCalls(1);
            state = stage.harness.snapshot(1, 1); // waits for nobody
            held.release();
            assertEquals(List.of("a", "ab"), stage.await(2)); // after the checkpoint: gone with the failure that now comes
        }
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, state)) {
            stage.take(event("x", "c"));
            assertEquals(List.of("a", "ab", "abc"), stage.await(3));
            assertTrue(stage.out().get(0).excused());
            assertEquals(new Turns.Taken("", List.of("a", "b")), Turns.sent(service).get(0));
        }
    }

    @Test
    void whatIsAppliedIsInTheNextCheckpointAsStateAlone() throws Exception {
        OperatorSubtaskState state;
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("y", "1"));
            stage.harness.snapshot(1, 1); // with both in flight, perhaps
            stage.await(2);
            state = stage.harness.snapshot(2, 2);
        }
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, state)) {
            stage.take(event("x", "b"));
            assertEquals(List.of("ab"), stage.await(1));
        }
    }

    @Test
    void aRescaleTakesStatesAndWaitingEventsAlong() throws Exception {
        OperatorSubtaskState state;
        List<String> keys = List.of("k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7");
        try (TestService service = new TestService((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            service.start();
            for (String key : keys) {
                stage.take(event(key, "a"));
            }
            stage.await(8);
            service.stop();
            for (String key : keys) {
                stage.take(event(key, "b"), event(key, "c"));
            }
            state = stage.harness.snapshot(1, 1);
            service.start(); // the harness lets its operator finish
        }
        try (TestService service = TestService.started((s, call) -> Turns.apply(call))) {
            int found = 0;
            for (int index = 0; index < 2; index++) {
                OperatorSubtaskState part = AbstractStreamOperatorTestHarness.repartitionOperatorState(state, MAX_PARALLELISM, 1, 2, index);
                int subtask = index;
                List<String> own = keys.stream()
                        .filter(key -> KeyGroupRangeAssignment.assignKeyToParallelOperator(key, MAX_PARALLELISM, 2) == subtask)
                        .toList();
                try (Stage stage = new Stage(settings(service), part, 2, index)) {
                    List<String> values = stage.await(2 * own.size());
                    assertEquals(own.size(), values.stream().filter("ab"::equals).count());
                    assertEquals(own.size(), values.stream().filter("abc"::equals).count());
                    found += own.size();
                }
            }
            assertEquals(8, found);
        }
    }

    @Test
    void anEventThatFailsLeavesTheStateAsItWas() throws Exception {
        Held held = new Held();
        try (TestService service = TestService.started(held::call); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("x", "bad"), event("x", "b"));
            held.awaitCalls(1);
            held.release();
            assertEquals(List.of("a", "bad-input", "ab"), stage.await(3));
            assertEquals("bad indeed", stage.out().get(1).failure.detail());
        }
    }

    @Test
    void ofATurnThatFailsWholeOnlyTheEventAtFaultIsCondemned() throws Exception {
        Held held = new Held();
        try (TestService service = TestService.started(held::call); Stage stage = stage(service, null)) {
            for (String value : "a b c d e poison g h i".split(" ")) {
                stage.take(event("x", value));
            }
            held.awaitCalls(1);
            held.release();
            assertEquals(List.of("a", "ab", "abc", "abcd", "abcde", "poison", "abcdeg", "abcdegh", "abcdeghi"), stage.await(9));
        }
    }

    @Test
    void duringAnOutageCheckpointsGoOnAndAfterItAllIsAppliedOnce() throws Exception {
        Held held = new Held();
        try (TestService service = TestService.started(held::call); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("x", "b"));
            held.awaitCalls(1);
            service.stop();
            stage.harness.snapshot(1, 1);
            stage.take(event("x", "c"));
            stage.harness.snapshot(2, 2);
            held.forget();
            service.start();
            assertEquals(List.of("a", "ab", "abc"), stage.await(3));
            assertEquals(new Turns.Taken("", List.of("a")), Turns.sent(service).get(1)); // again from the state it began with
            assertTrue(stage.out().get(0).excused());
        }
    }

    @Test
    void aKeyWithoutAnEventForItsTimeToLiveStartsAnew() throws Exception {
        try (TestService service = new TestService((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(at(1000, "x", "a"), at(1000 + TTL_MS, "x", "b"), at(1001 + 2 * TTL_MS, "x", "c"), at(500, "x", "d"));
            service.start();
            assertEquals(List.of("a", "ab", "c", "cd"), stage.await(4)); // the last is late, not old
        }
    }

    @Test
    void whatNobodyAsksForIsRemoved() throws Exception {
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(at(1000, "x", "a"));
            stage.await(1);
            stage.harness.setProcessingTime(TTL_MS);
            assertEquals(1, stage.harness.numKeyedStateEntries()); // nothing newer has come: the stream may only stand still
            stage.take(at(1001 + 2 * TTL_MS, "y", "b"));
            stage.await(2);
            stage.harness.setProcessingTime(2 * TTL_MS);
            assertEquals(1, stage.harness.numKeyedStateEntries());
            stage.harness.setProcessingTime(10 * TTL_MS);
            assertEquals(1, stage.harness.numKeyedStateEntries()); // y is the newest itself
        }
    }

    @Test
    void anEmptyStateForgetsTheKey() throws Exception {
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"));
            stage.await(1);
            stage.take(event("x", "forget"));
            stage.await(2);
            assertEquals(0, stage.harness.numKeyedStateEntries());
            assertEquals(0, stage.harness.numProcessingTimeTimers());
            stage.take(event("x", "b"));
            assertEquals(List.of("a", "", "b"), stage.await(3));
        }
    }

    @Test
    void aStateThatGrowsTooLargeFailsTheEventThatMakesItSo() throws Exception {
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("x", "b".repeat(100)), event("x", "c"));
            assertEquals(List.of("a", Failure.TOO_LARGE, "ac"), stage.await(3));
        }
    }

    @Test
    void eventsWithoutAKeyFailAndThoseThatFailedPass() throws Exception {
        try (TestService service = TestService.started((s, call) -> Turns.apply(call)); Stage stage = stage(service, null)) {
            stage.take(event(null, "a"), event("x", "b").withFailure(new Failure("before", "poison", "")));
            assertEquals(List.of(Failure.BAD_INPUT, "poison"), stage.await(2));
            assertEquals(0, service.requests.size());
        }
    }

    @Test
    void anAnswerThatIsNoneToATurnFailsItsEvents() throws Exception {
        try (TestService service = TestService.started((s, call) -> call.reply(call.answer().row(0, 0, "what?"))); Stage stage = stage(service, null)) {
            stage.take(event("x", "a"), event("x", "b"));
            assertEquals(List.of(Failure.OPERATOR_ERROR, Failure.OPERATOR_ERROR), stage.await(2));
        }
    }

    @Test
    void theKeyMayBeAFieldOfTheRow() {
        StateKey key = new StateKey(new ProxySettings("count", "nowhere:1").state("card", TTL_MS, 100));
        assertEquals("c1", key.of(event("other", "{\"a\":{\"card\":1},\"card\":\"c1\"}")));
        assertEquals("17", key.of(event("other", "{\"card\":17}")));
        for (String row : List.of("{\"card\":null}", "{\"card\":1.5}", "{}", "[]", "nonsense", "{\"card\":")) {
            assertNull(key.of(event("other", row)), row);
        }
    }

    @Test
    void malformedAnswersAreNoneOfATurn() {
        byte[] right = Turns.answer("s", List.of(1, -1), List.of("x", "bad: y"));
        assertTrue(Turn.applied(right, 2) != null);
        List<byte[]> wrong = new ArrayList<>(List.of(new byte[0], Turns.answer("s", List.of(1), List.of("x"))));
        for (int length = 0; length < right.length; length++) {
            wrong.add(java.util.Arrays.copyOf(right, length));
        }
        wrong.add(java.util.Arrays.copyOf(right, right.length + 1));
        wrong.add(Turns.answer("s", List.of(1, -2), List.of("x", "y", "z")));
        for (byte[] answer : wrong) {
            assertNull(Turn.applied(answer, 2));
        }
    }
}
