package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sluice.protocol.ModelInferRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** The proxy in a job that runs to its end, against a service that answers as each test says. */
@Timeout(120)
class ProxyJobTest {

    @RegisterExtension
    static final MiniClusterExtension CLUSTER = new MiniClusterExtension();

    private static final int STAYS_ON = 5;

    private static List<Event> events(int count) {
        return IntStream.range(0, count).mapToObj(i -> Events.onTime(i, "v" + i)).toList();
    }

    private static List<Event> run(List<Event> events, ProxySettings settings) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.getConfig().enableObjectReuse();
        List<Event> out = new ArrayList<>();
        Connector.proxy(env.fromData(EventTypeInfo.INSTANCE, events.toArray(Event[]::new)), "proxy", "proxy", 1, settings)
                .executeAndCollect()
                .forEachRemaining(out::add);
        return out;
    }

    private static List<Event> run(int count, BiConsumer<TestService, TestService.Call> script) throws Exception {
        try (TestService service = TestService.started(script)) {
            return run(events(count), new ProxySettings("classify", service.target()));
        }
    }

    /** offset: value, or reason and detail; sorted. */
    private static Map<Long, String> outcomes(List<Event> events) {
        Map<Long, String> outcomes = new TreeMap<>();
        for (Event event : events) {
            String outcome = event.failed() ? event.failure().reason() + '|' + event.failure().detail() : Events.text(event.value);
            assertEquals(null, outcomes.put(event.origin.offset(), outcome), "answered twice");
        }
        return outcomes;
    }

    private static void assertAllAnswered(int count, List<Event> out) {
        Map<Long, String> expected = new TreeMap<>();
        IntStream.range(0, count).forEach(i -> expected.put((long) i, "v" + i + "!"));
        assertEquals(expected, outcomes(out));
    }

    @Test
    void rowsAreAnsweredFailedAndExpired() throws Exception {
        List<Event> out = run(4, (service, call) -> {
            for (int i = 0; i < call.rows().size(); i++) {
                Answer answer = call.answer();
                switch (call.rows().get(i)) {
                    case "v0" -> answer.row(i, 0, "zero");
                    case "v1" -> answer.row(i, 1, "one");
                    case "v2" -> answer.row(i, 2, "bad-input: no picture: none");
                    default -> answer.row(i, 3, "expired: 7 ms past");
                }
                call.reply(answer); // a response for each row
            }
        });
        assertEquals(Map.of(0L, "zero", 1L, "one", 2L, "bad-input|no picture: none", 3L, "expired|7 ms past"), outcomes(out));
        Event zero = out.stream().filter(event -> event.origin.offset() == 0).findFirst().orElseThrow();
        assertEquals(new Trace(new Trace.Label("classify", "cnn", "1"), 812, 4210, -1), zero.traces[0]);
    }

    @Test
    void requestsCarryDeadlinesCountersAndOnlyWhatIsAskedFor() throws Exception {
        Event accurate = Event.read(new Origin("in", 0, 7, Events.NEVER_MS, null, null, EventHeaders.NONE, Events.NEVER_MS, 0.5f, Origin.PLAIN_WORTH), true);
        List<ModelInferRequest> requests;
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            run(List.of(accurate), new ProxySettings("classify", service.target()));
            run(List.of(Events.onTime(1, "plain")), new ProxySettings("classify", service.target()));
            requests = List.copyOf(service.requests);
        }
        TestService.Call first = new TestService.Call(requests.get(0), null);
        assertEquals("classify", first.message().getModelName());
        assertEquals(List.of(""), first.rows()); // null travels as an empty row
        assertEquals(Events.NEVER_MS, first.message().getRawInputContents(1).asReadOnlyByteBuffer().order(java.nio.ByteOrder.LITTLE_ENDIAN).getLong());
        assertTrue(first.has("min_accuracy") && first.has("keep"));
        assertEquals("classify-0", first.message().getParametersOrThrow("proxy").getStringParam());
        assertEquals(1, first.message().getParametersOrThrow("received").getInt64Param());
        TestService.Call second = new TestService.Call(requests.get(1), null);
        assertTrue(!second.has("min_accuracy"));
    }

    @Test
    void eventsThatFailedOrSkipTheStagePassUntouched() throws Exception {
        Event failed = Events.event(0, "f").withFailure(new Failure("source", "bad-header", "d"));
        Event skipped = Events.event(1, "s").withSkip(true);
        Event none = Events.noChildren(Events.event(2, "n"));
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            List<Event> out = run(List.of(failed, skipped, none, Events.onTime(3, "v")), new ProxySettings("classify", service.target()));
            assertEquals(4, out.size());
            assertEquals("s", Events.text(out.get(1).value));
            assertTrue(!out.get(1).skipped());
            assertEquals(1, service.requests.size());
        }
    }

    @Test
    void aStageSendsAndKeepsTheValuesItIsToldTo() throws Exception {
        Event worked = Events.onTime(0, "source").withValue(Events.utf8("latest"), Events.trace("a", -1)).withSlot(1, Events.utf8("slot"));
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            ProxySettings settings = new ProxySettings("b", service.target());
            assertEquals("latest!", Events.text(run(List.of(worked), settings).get(0).value));
            assertEquals("slot!", Events.text(run(List.of(worked), settings.inputSlot(1)).get(0).value));
            Event out = run(List.of(worked), settings.inputSource().retain(3)).get(0);
            assertEquals("source!", Events.text(out.slot(3)));
            assertEquals("slot", Events.text(out.slot(1)));
        }
    }

    @Test
    void whatAnEventMetAtAStageOfTheSameModelTravelsWithIt() throws Exception {
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
            DataStream<Event> events = env.fromData(EventTypeInfo.INSTANCE, events(3).toArray(Event[]::new));
            DataStream<Event> once = Connector.proxy(events, "first", "first", 1, new ProxySettings("classify", service.target()));
            ProxySettings second = new ProxySettings("again", service.target()).sameModelAs("classify");
            List<Event> out = new ArrayList<>();
            Connector.proxy(once, "second", "second", 1, second).executeAndCollect().forEachRemaining(out::add);
            assertEquals(Map.of(0L, "v0!!", 1L, "v1!!", 2L, "v2!!"), outcomes(out));
            for (ModelInferRequest message : service.requests) {
                TestService.Call call = new TestService.Call(message, null);
                List<String> asked = message.getModelName().equals("again") ? call.rows().stream().map(row -> "cnn:1").toList() : List.of();
                assertEquals(asked, call.has("version") ? call.strings("version") : List.of());
            }
        }
    }

    @Test
    void aFanOutMakesAnEventOfEachResultAndAMarkerOfNone() throws Exception {
        try (TestService service = TestService.started((s, call) -> {
            Answer answer = call.answer().fansOut();
            for (int i = 0; i < call.rows().size(); i++) {
                switch (call.rows().get(i)) {
                    case "v0" -> answer.row(i, 0, "a", "b");
                    case "v1" -> answer.row(i, 0);
                    default -> answer.row(i, 2, "bad-input: x");
                }
            }
            call.reply(answer);
        })) {
            List<Event> out = run(events(3), new ProxySettings("split", service.target()).fansOut());
            assertEquals(
                    Set.of("in-0-0/0 a", "in-0-0/1 b", "in-0-1 null", "in-0-2 v2"),
                    new TreeSet<>(out.stream().map(event -> event.eventId() + ' ' + Events.text(event.value)).toList()));
            assertEquals(1, out.stream().filter(Event::marksNoChildren).count());
        }
    }

    @Test
    void aStreamThatDiesInFlightLosesAndRepeatsNothing() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        AtomicReference<Object> dead = new AtomicReference<>();
        List<Boolean> kept = Collections.synchronizedList(new ArrayList<>());
        List<Event> out;
        try (TestService service = TestService.started((s, call) -> {
            int number = calls.incrementAndGet();
            if (call.out() == dead.get()) {
                return; // was on its way when the stream died
            } else if (number <= STAYS_ON) {
                call.reply(call.answer().row(0, 0, call.rows().get(0) + "!")); // one row of many
            } else if (dead.compareAndSet(null, call.out())) {
                call.out().onError(io.grpc.Status.UNAVAILABLE.asRuntimeException());
            } else {
                kept.add(call.has("keep"));
                call.ok();
            }
        })) {
            out = run(events(2000), new ProxySettings("classify", service.target()).batch(64, 1 << 20, 2)); // requests enough to be in flight
        }
        assertAllAnswered(2000, out);
        assertTrue(kept.get(0));
        assertTrue(out.stream().anyMatch(Event::excused));
    }

    @Test
    void anErrorOfARequestFailsTheRowAtFaultOnly() throws Exception {
        List<Event> out = run(100, (service, call) -> {
            if (call.rows().contains("v37")) {
                call.error("it broke");
            } else {
                call.ok();
            }
        });
        Map<Long, String> outcomes = outcomes(out);
        assertEquals("operator-error|it broke", outcomes.get(37L));
        assertEquals(99, outcomes.values().stream().filter(value -> value.endsWith("!")).count());
    }

    @Test
    void theWindowOfAResponseIsObeyedAtOnce() throws Exception {
        AtomicInteger unanswered = new AtomicInteger();
        List<Integer> seen = Collections.synchronizedList(new ArrayList<>());
        Executor later = CompletableFuture.delayedExecutor(2, TimeUnit.MILLISECONDS);
        try (TestService service = TestService.started((s, call) -> {
            int rows = call.rows().size();
            seen.add(unanswered.addAndGet(rows));
            later.execute(() -> {
                unanswered.addAndGet(-rows);
                Answer answer = call.answer().number("window", 40);
                for (int i = 0; i < rows; i++) {
                    answer.row(i, 0, call.rows().get(i) + "!");
                }
                synchronized (call.out()) {
                    call.reply(answer);
                }
            });
        })) {
            assertAllAnswered(500, run(events(500), new ProxySettings("classify", service.target()).window(5).batch(4, 1 << 10, 0)));
        }
        assertTrue(seen.get(0) <= 5, "first " + seen.get(0));
        assertTrue(Collections.max(seen) > 5 && Collections.max(seen) <= 40, "unanswered " + Collections.max(seen));
    }

    @Test
    void capacityBoundsRowsAndBytesInFlight() throws Exception {
        Set<Long> inFlight = ConcurrentHashMap.newKeySet();
        BiConsumer<TestService, TestService.Call> script = (service, call) -> {
            inFlight.add(call.message().getParametersOrThrow("in_flight").getInt64Param());
            call.ok();
        };
        try (TestService service = TestService.started(script)) {
            assertAllAnswered(1000, run(events(1000), new ProxySettings("classify", service.target()).capacity(10, 1 << 20)));
            assertTrue(Collections.max(inFlight) <= 10, "rows " + inFlight);
            inFlight.clear();
            int bytes = 5 * Events.onTime(0, "v0").sizeBytes();
            assertAllAnswered(1000, run(events(1000), new ProxySettings("classify", service.target()).capacity(1000, bytes)));
            assertTrue(Collections.max(inFlight) <= 5, "rows " + inFlight);
        }
    }

    @Test
    void malformedResponsesCostNothingButTime() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        BiConsumer<TestService, TestService.Call> script = (service, call) -> {
            if (call.rows().size() == 1) { // an error that names no request condemns the only row in flight, as it must
                call.ok();
                return;
            }
            switch (calls.getAndIncrement()) {
                case 0 -> call.reply(call.answer().row(0, 0)); // a result is missing
                case 1 -> call.reply(new Answer("no-such").row(0, 0, "x"));
                case 2 -> call.reply(call.answer().row(99_999, 0, "x").last()); // unknown row, and nothing more comes
                case 3 -> call.reply(call.answer().row(0, 9, "x"));
                case 4 -> call.out().onNext(io.sluice.protocol.ModelStreamInferResponse.newBuilder().setErrorMessage("whose?").build());
                default -> {
                    call.ok();
                    call.reply(call.answer().row(0, 0, "again"));
                    return;
                }
            }
            if (calls.get() == 2) {
                call.ok();
            }
        };
        try (TestService service = TestService.started(script)) {
            ProxySettings settings = new ProxySettings("classify", service.target()).batch(20, 1 << 20, 20);
            assertAllAnswered(300, run(events(300), settings));
        }
        assertTrue(calls.get() > 5, "only " + calls.get() + " requests had several rows");
    }

    @Test
    void aForeignEndpointIsSplitDownToTheBadRow() throws Exception {
        List<Event> events = new ArrayList<>(events(50));
        events.set(20, Events.onTime(20, "bad"));
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            ProxySettings settings = new ProxySettings("resnet", service.target()).foreign(new ForeignSettings("INPUT0"));
            List<Event> out = run(events, settings);
            Map<Long, String> outcomes = outcomes(out);
            assertEquals(50, outcomes.size());
            assertTrue(outcomes.get(20L).startsWith("operator-error|") && outcomes.get(20L).contains("a bad row"), outcomes.get(20L));
            assertEquals(49, outcomes.values().stream().filter(value -> value.endsWith("?")).count());
            assertEquals("3", out.stream().filter(event -> !event.failed()).findFirst().orElseThrow().traces[0].label().version);
        }
    }

    @Test
    void aForeignModelThatIsNotReadyYetCondemnsNoRow() throws Exception {
        List<Event> events = new ArrayList<>(events(50));
        events.set(20, Events.onTime(20, "bad"));
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            service.loading.set(30);
            ProxySettings settings = new ProxySettings("resnet", service.target()).foreign(new ForeignSettings("INPUT0"));
            Map<Long, String> outcomes = outcomes(run(events, settings));
            assertTrue(outcomes.get(20L).contains("a bad row"), outcomes.get(20L));
            assertEquals(49, outcomes.values().stream().filter(value -> value.endsWith("?")).count());
        }
    }

    @Test
    void rowsPastTheirDeadlineAreNotSentToAForeignEndpointUnlessExcused() throws Exception {
        long nowMs = System.currentTimeMillis();
        Origin future = new Origin("in", 0, 0, nowMs + 3_600_000, null, Events.utf8("a"), EventHeaders.NONE, nowMs - 5, -1, Origin.PLAIN_WORTH);
        Origin excused = new Origin("in", 0, 1, nowMs + 3_600_000, null, Events.utf8("b"), EventHeaders.NONE, nowMs - 5, -1, Origin.PLAIN_WORTH);
        try (TestService service = TestService.started((s, call) -> call.ok())) {
            ProxySettings settings = new ProxySettings("resnet", service.target()).foreign(new ForeignSettings("INPUT0").expires(true));
            List<Event> out = run(Arrays.asList(Event.read(future, false), Event.read(excused, true)), settings);
            Map<Long, String> outcomes = outcomes(out);
            assertTrue(outcomes.get(0L).startsWith("expired|"), outcomes.get(0L));
            assertEquals("b?", outcomes.get(1L));
        }
    }
}
