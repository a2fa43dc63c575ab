package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class RequestEncoderTest {

    private static final Event MET = Events.event(0, "a").withValue(Events.utf8("b"), Events.trace("classify", -1));

    @Test
    void rowsAskForTheVersionThatTheirEventMetAtAStageOfTheSameModel() {
        TestService.Call call = encode(List.of("classify"), Events.event(1, "c"), MET);
        assertEquals(List.of("rows", "deadline_ms", "version"), call.tensors());
        assertEquals(List.of("c", "b"), call.strings("rows"));
        assertEquals(List.of("", "cnn:1"), call.strings("version"));
    }

    @Test
    void theLastOfThoseStagesCounts() {
        Event twice = MET.withValue(Events.utf8("c"), trace("again", "cnn", "2")).withValue(Events.utf8("d"), trace("locate", "grid", "7"));
        assertEquals(List.of("cnn:2"), encode(List.of("classify", "again"), twice).strings("version"));
        assertEquals(List.of("cnn:1"), encode(List.of("classify"), twice).strings("version"));
    }

    @Test
    void nothingIsSaidWhereNoRowMetOne() {
        Event elsewhere = Events.event(0, "a").withValue(Events.utf8("b"), Events.trace("locate", -1));
        assertEquals(List.of("rows", "deadline_ms"), encode(List.of("classify"), elsewhere, Events.event(1, "c")).tensors());
        assertEquals(List.of("rows", "deadline_ms"), encode(List.of(), MET).tensors());
    }

    @Test
    void aVersionLongerThanTheServiceTakesIsNotAskedFor() {
        Event met = Events.event(0, "a").withValue(Events.utf8("b"), trace("classify", "v".repeat(128), "1".repeat(127)));
        assertEquals(List.of("v".repeat(128) + ":" + "1".repeat(127)), encode(List.of("classify"), met).strings("version"));
        Event longer = Events.event(0, "a").withValue(Events.utf8("b"), trace("classify", "v".repeat(128), "1".repeat(128)));
        assertEquals(List.of("rows", "deadline_ms"), encode(List.of("classify"), longer).tensors());
    }

    @Test
    void whatRowsAreWorthIsSaidWhereNotAllAreWorthTheSame() {
        Event dear = Event.read(new Origin("in", 0, 1, 0, null, Events.utf8("b"), EventHeaders.NONE, 0, Origin.NO_MIN_ACCURACY, 2.5f), false);
        TestService.Call call = encode(List.of(), Events.event(0, "a"), dear);
        assertEquals(List.of("rows", "deadline_ms", "value"), call.tensors());
        assertEquals(List.of(1f, 2.5f), call.floats("value"));
        assertEquals(List.of("rows", "deadline_ms"), encode(List.of(), Events.event(0, "a")).tensors());
    }

    private static Trace trace(String stage, String variant, String version) {
        return new Trace(new Trace.Label(stage, variant, version), 1, 1, -1);
    }

    private static TestService.Call encode(List<String> sameModel, Event... events) {
        InFlightRow[] rows = new InFlightRow[events.length];
        for (int i = 0; i < events.length; i++) {
            rows[i] = new InFlightRow(events[i], events[i].value, 0, true);
        }
        Request request = new Request("r", rows, 0);
        return new TestService.Call(new RequestEncoder("reclassify", "0", sameModel).encode(request, new Transport.Counters(0, 0, 0)), null);
    }
}
