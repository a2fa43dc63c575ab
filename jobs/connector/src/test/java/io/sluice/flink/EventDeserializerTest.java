package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EventDeserializerTest {

    private static final long NOW_MS = 1_000_050;
    private static final long SLO_MS = 100;
    private final EventDeserializer deserializer = new EventDeserializer(SLO_MS, () -> NOW_MS);

    /** Values are Latin-1, so that a test can write any byte. */
    private Event read(long timestampMs, String... namesAndValues) {
        RecordHeaders headers = new RecordHeaders();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            String value = namesAndValues[i + 1];
            headers.add(namesAndValues[i], value == null ? null : value.getBytes(StandardCharsets.ISO_8859_1));
        }
        return deserializer.read(new ConsumerRecord<>(
                "in", 2, 9, timestampMs, TimestampType.CREATE_TIME, 0, 0, null, Events.utf8("v"), headers, Optional.empty()));
    }

    @Test
    void aRecordWithoutHeadersGetsDefaults() {
        Event event = read(1_000_000);
        assertEquals("in-2-9", event.eventId());
        assertEquals(1_000_100, event.origin.deadlineMs());
        assertEquals(-1f, event.origin.minAccuracy());
        assertEquals(1f, event.origin.worth());
        assertNull(event.origin.key());
        assertFalse(event.excused() || event.failed());
    }

    @Test
    void headersOfOursAreReadAndAllAreKept() {
        Event event = read(1_000_000, "x", null, "event-id", "order-1", "deadline", "1000070", "min-accuracy", "0.5", "x", "2", "event-id", "order-1");
        assertEquals("order-1", event.eventId());
        assertEquals(1_000_070, event.origin.deadlineMs());
        assertEquals(0.5f, event.origin.minAccuracy());
        assertArrayEquals(new String[] {"x", "event-id", "deadline", "min-accuracy", "x", "event-id"}, event.origin.headers().names);
        assertNull(event.origin.headers().value(0));
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "1, 1", "2.5, 2.5", "100000, 100000", ".5, 0.5"})
    void whatAnEventIsWorthIsRead(String header, float worth) {
        assertEquals(worth, read(1_000_000, "event-value", header).origin.worth());
    }

    @ParameterizedTest
    @CsvSource(
            nullValues = "NULL",
            value = {
                "event-id, NULL, event-id is null",
                "event-id, '', event-id has 0 bytes",
                "event-id, \u00ff\u00fe, event-id is not UTF-8",
                "deadline, NULL, deadline is null",
                "deadline, '', deadline has 0 bytes",
                "deadline, -5, deadline is '-5'",
                "deadline, 12.5, deadline is '12.5'",
                "deadline, ' 12', deadline is ' 12'",
                "deadline, 1234567890123456789, deadline has 19 bytes",
                "min-accuracy, NULL, min-accuracy is null",
                "min-accuracy, '', min-accuracy is ''",
                "min-accuracy, 1.01, min-accuracy is 1.01",
                "min-accuracy, NaN, min-accuracy is 'NaN'",
                "min-accuracy, 1e-1, min-accuracy is '1e-1'",
                "min-accuracy, -0.5, min-accuracy is '-0.5'",
                "min-accuracy, ., min-accuracy is '.'",
                "event-value, NULL, event-value is null",
                "event-value, '', event-value is ''",
                "event-value, -1, event-value is '-1'",
                "event-value, Infinity, event-value is 'Infinity'",
                "event-value, 1e3, event-value is '1e3'",
            })
    void aHeaderThatCannotBeReadFailsTheEvent(String name, String value, String detail) {
        Event event = read(1_000_000, name, value);
        assertEquals("bad-header", event.failure().reason());
        assertEquals("source", event.failure().stage());
        assertTrue(event.failure().detail().startsWith(detail), event.failure().detail());
    }

    @Test
    void anIdOf128BytesIsReadAndALongerOneIsNot() {
        assertFalse(read(1_000_000, "event-id", "x".repeat(128)).failed());
        assertTrue(read(1_000_000, "event-id", "x".repeat(129)).failed());
    }

    @Test
    void aHeaderRepeatedWithAnotherValueFailsTheEvent() {
        Event event = read(1_000_000, "deadline", "1000070", "deadline", "1000071");
        assertEquals("deadline is repeated with different values", event.failure().detail());
    }

    @Test
    void timestampsFromTheFutureAreClampedAndMissingOnesAreNow() {
        deserializer.open(Metrics.context());
        assertEquals(NOW_MS + 1000, read(NOW_MS + 1000).origin.timestampMs()); // within the skew of clocks
        assertEquals(NOW_MS, read(NOW_MS + 1001).origin.timestampMs());
        assertEquals(NOW_MS, read(-1).origin.timestampMs());
        assertEquals(NOW_MS + SLO_MS, read(-1).origin.deadlineMs());
    }

    @Test
    void aRecordReadAfterItsDeadlineIsExcused() {
        assertTrue(read(NOW_MS - SLO_MS - 1).excused());
        assertFalse(read(NOW_MS - SLO_MS).excused());
        assertTrue(read(NOW_MS, "deadline", "5").excused());
    }
}
