package io.sluice.flink;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.header.Header;

/** Gathers one record's headers, its own first. Used again and again by one thread. */
final class RecordHeadersWriter {

    private static final byte[] TRUE = ascii("true");
    private static final byte[] COMPUTE = ascii(";compute_us=");
    private static final byte[] CHILD = ascii(";child=");
    private static final int LONGEST_DETAIL_BYTES = 1024;
    private static final int LONGEST_NUMBERS = 64;

    private final List<Header> headers = new ArrayList<>();
    private final byte[] digits = new byte[20];

    /** Those of the record at hand, to be copied from. */
    List<Header> headers() {
        return headers;
    }

    /** The record's own headers; a child has an id of its own, so its parent's is left out. */
    void original(Event event, int longestValueBytes) {
        headers.clear();
        EventHeaders own = event.origin.headers();
        boolean child = Frames.depth(event.frames) > 0 && !isParent(event);
        for (int i = 0; i < own.size(); i++) {
            boolean fits = own.values[i] == null || own.values[i].length + own.names[i].length() <= longestValueBytes;
            if (fits && !(child && own.names[i].equals(EventHeaders.EVENT_ID))) {
                headers.add(new OutputHeader(own.names[i], own.values[i]));
            }
        }
    }

    void added(Event event, boolean late) {
        Origin origin = event.origin;
        if (Frames.depth(event.frames) > 0) {
            family(event);
        } else if (!origin.headers().has(EventHeaders.EVENT_ID)) {
            text(EventHeaders.EVENT_ID, event.eventId());
        }
        number("source-timestamp", origin.timestampMs());
        if (late) {
            headers.add(new OutputHeader("late", TRUE));
        }
    }

    private void family(Event event) {
        int inner = Frames.depth(event.frames) - 1;
        if (!isParent(event) || !event.origin.headers().has(EventHeaders.EVENT_ID)) {
            text(EventHeaders.EVENT_ID, event.eventId());
        }
        if (!event.marksNoChildren()) {
            text("parent-id", Frames.path(event.origin.eventId(), event.frames, inner));
            number("child-index", Frames.index(event.frames, inner));
        }
        number("child-count", Frames.count(event.frames, inner));
    }

    /** A marker directly under the source's event stands for that event. */
    private static boolean isParent(Event event) {
        return Frames.depth(event.frames) == 1 && event.marksNoChildren();
    }

    void traces(Event event) {
        for (Trace trace : event.traces) {
            headers.add(new OutputHeader("stage", trace(trace)));
        }
    }

    private byte[] trace(Trace trace) {
        byte[] prefix = trace.label().headerPrefix;
        byte[] line = new byte[prefix.length + LONGEST_NUMBERS];
        System.arraycopy(prefix, 0, line, 0, prefix.length);
        int end = digits(trace.queueUs(), line, prefix.length);
        end = append(COMPUTE, line, end);
        end = digits(trace.computeUs(), line, end);
        if (trace.child() >= 0) {
            end = append(CHILD, line, end);
            end = digits(trace.child(), line, end);
        }
        return java.util.Arrays.copyOf(line, end);
    }

    void failure(Event event) {
        Failure failure = event.failure;
        text("dead-letter-reason", failure.reason());
        text("dead-letter-stage", failure.stage());
        headers.add(new OutputHeader("dead-letter-detail", truncated(failure.detail())));
        text("source-topic", event.origin.topic());
        number("source-partition", event.origin.partition());
        number("source-offset", event.origin.offset());
    }

    private static byte[] truncated(String detail) {
        byte[] bytes = detail.getBytes(StandardCharsets.UTF_8);
        if (bytes.length <= LONGEST_DETAIL_BYTES) {
            return bytes;
        }
        int end = LONGEST_DETAIL_BYTES;
        while ((bytes[end] & 0xc0) == 0x80) { // never inside a character
            end--;
        }
        return java.util.Arrays.copyOf(bytes, end);
    }

    private void text(String name, String value) {
        headers.add(new OutputHeader(name, value.getBytes(StandardCharsets.UTF_8)));
    }

    private void number(String name, long value) {
        headers.add(new OutputHeader(name, ascii(Long.toString(value))));
    }

    private int digits(int number, byte[] line, int at) {
        int start = digits.length;
        int rest = Math.max(number, 0);
        do {
            digits[--start] = (byte) ('0' + rest % 10);
            rest /= 10;
        } while (rest > 0);
        System.arraycopy(digits, start, line, at, digits.length - start);
        return at + digits.length - start;
    }

    private static int append(byte[] text, byte[] line, int at) {
        System.arraycopy(text, 0, line, at, text.length);
        return at + text.length;
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
