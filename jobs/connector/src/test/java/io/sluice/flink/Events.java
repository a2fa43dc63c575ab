package io.sluice.flink;

import java.nio.charset.StandardCharsets;

/** Events for tests; what a test does not name is plain. */
final class Events {

    static final long TIMESTAMP_MS = 1_000_000;
    static final long DEADLINE_MS = 1_000_100;
    /** Far ahead of any clock a test runs by. */
    static final long NEVER_MS = 4_000_000_000_000L;

    private Events() {}

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    static Event event(long offset, String value) {
        return event(offset, value, EventHeaders.NONE);
    }

    static Event event(long offset, String value, EventHeaders headers) {
        byte[] bytes = value == null ? null : utf8(value);
        return Event.read(new Origin("in", 0, offset, TIMESTAMP_MS, utf8("k" + offset), bytes, headers, DEADLINE_MS, Origin.NO_MIN_ACCURACY, Origin.PLAIN_WORTH), false);
    }

    static Event onTime(long offset, String value) {
        Origin origin = new Origin("in", 0, offset, NEVER_MS - 100, null, utf8(value), EventHeaders.NONE, NEVER_MS, Origin.NO_MIN_ACCURACY, Origin.PLAIN_WORTH);
        return Event.read(origin, false);
    }

    static EventHeaders headers(String... namesAndValues) {
        String[] names = new String[namesAndValues.length / 2];
        byte[][] values = new byte[names.length][];
        for (int i = 0; i < names.length; i++) {
            names[i] = namesAndValues[2 * i];
            values[i] = namesAndValues[2 * i + 1] == null ? null : utf8(namesAndValues[2 * i + 1]);
        }
        return new EventHeaders(names, values);
    }

    static Trace trace(String stage, int child) {
        return new Trace(new Trace.Label(stage, "cnn", "1"), 812, 4210, child);
    }

    /** A child of a fan-out by stage {@code split}, which left one trace. */
    static Event child(Event parent, int index, int count, String value) {
        Event passed = parent.withValue(value == null ? null : utf8(value), trace("split", -1));
        return passed.withFrames(Frames.push(parent.frames, Frames.number("split"), index, count, parent.traces.length + 1));
    }

    static Event noChildren(Event parent) {
        return child(parent, -1, 0, null);
    }
}
