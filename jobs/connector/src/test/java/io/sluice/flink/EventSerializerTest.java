package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.AbstractRecords;
import org.apache.kafka.common.record.RecordBatch;
import org.junit.jupiter.api.Test;

class EventSerializerTest {

    private final Metrics.Counted counted = new Metrics.Counted();
    private long nowMs = Events.DEADLINE_MS;

    private ProducerRecord<byte[], byte[]> write(Event event, int outputMaxBytes, int deadLetterMaxBytes) {
        long now = nowMs;
        EventSerializer serializer = new EventSerializer("out", "dead", outputMaxBytes, deadLetterMaxBytes, () -> now);
        serializer.open(Metrics.writing(counted), null);
        return serializer.serialize(event, null, 5L);
    }

    private ProducerRecord<byte[], byte[]> write(Event event) {
        return write(event, 10_000, 10_000);
    }

    private static List<String> headers(ProducerRecord<byte[], byte[]> record) {
        List<String> lines = new ArrayList<>();
        for (Header header : record.headers()) {
            lines.add(header.key() + ": " + Events.text(header.value()));
        }
        return lines;
    }

    @Test
    void anAnsweredEventKeepsKeyAndHeadersAndTellsItsWay() {
        Event event = Events.event(4, "in", Events.headers("x", "1", "x", null)).withValue(Events.utf8("out"), Events.trace("classify", -1));
        ProducerRecord<byte[], byte[]> record = write(event.withValue(Events.utf8("out"), Events.trace("read", 2)));
        assertEquals("out", record.topic());
        assertEquals("k4", Events.text(record.key()));
        assertEquals("out", Events.text(record.value()));
        assertNull(record.timestamp());
        assertEquals(
                List.of(
                        "x: 1",
                        "x: null",
                        "event-id: in-0-4",
                        "source-timestamp: 1000000",
                        "stage: name=classify;variant=cnn;version=1;queue_us=812;compute_us=4210",
                        "stage: name=read;variant=cnn;version=1;queue_us=812;compute_us=4210;child=2"),
                headers(record));
    }

    @Test
    void anEventAfterItsDeadlineIsMarkedLateAndAGivenIdIsNotRepeated() {
        nowMs = Events.DEADLINE_MS + 1;
        assertEquals(
                List.of("event-id: a", "source-timestamp: 1000000", "late: true"),
                headers(write(Events.event(4, "in", Events.headers("event-id", "a")))));
    }

    @Test
    void aFailedEventGoesToTheDeadLettersAsItCame() {
        Event event = Events.event(4, "in", Events.headers("event-id", null)).withValue(Events.utf8("half"), Events.trace("a", -1));
        ProducerRecord<byte[], byte[]> record = write(event.withFailure(new Failure("b", "bad-input", "x".repeat(1023) + "é")));
        assertEquals("dead", record.topic());
        assertEquals("in", Events.text(record.value()));
        assertEquals("k4", Events.text(record.key()));
        assertEquals(
                List.of(
                        "event-id: null",
                        "source-timestamp: 1000000",
                        "stage: name=a;variant=cnn;version=1;queue_us=812;compute_us=4210",
                        "dead-letter-reason: bad-input",
                        "dead-letter-stage: b",
                        "dead-letter-detail: " + "x".repeat(1023),
                        "source-topic: in",
                        "source-partition: 0",
                        "source-offset: 4"),
                headers(record));
    }

    @Test
    void childrenCarryTheirFamily() {
        Event parent = Events.event(4, "in", Events.headers("event-id", "p"));
        assertTrue(headers(write(Events.child(parent, 1, 3, "c")))
                .containsAll(List.of("event-id: p/1", "parent-id: p", "child-index: 1", "child-count: 3")));
        assertTrue(headers(write(Events.child(Events.child(parent, 1, 3, "c"), 0, 2, "g")))
                .containsAll(List.of("event-id: p/1/0", "parent-id: p/1", "child-index: 0", "child-count: 2")));
        ProducerRecord<byte[], byte[]> none = write(Events.noChildren(parent));
        assertNull(none.value());
        assertTrue(headers(none).containsAll(List.of("event-id: p", "child-count: 0")));
    }

    @Test
    void aRecordTooLargeForTheOutputIsADeadLetter() {
        Event event = Events.event(4, "in").withValue(new byte[2000], Events.trace("grow", -1));
        ProducerRecord<byte[], byte[]> record = write(event, 2000, 10_000);
        assertEquals("dead", record.topic());
        assertEquals("in", Events.text(record.value()));
        assertTrue(headers(record).containsAll(List.of("dead-letter-reason: too-large", "dead-letter-stage: grow")));
    }

    @Test
    void aRecordTooLargeForTheDeadLettersIsAStub() {
        Event event = Events.event(4, "v".repeat(5000), Events.headers("small", "1", "large", "x".repeat(3000)));
        ProducerRecord<byte[], byte[]> record = write(event.withFailure(new Failure("a", "bad-input", "y".repeat(900))), 2000, 2000);
        assertTrue(RecordSize.estimateBytes(record) <= 2000);
        assertEquals(
                "{\"size\":5000,\"sha256\":\"6bc46e99a45f86b26a45b102ee2f25fa5e2f3b5ca1ef29e15d74b6d23c4fe0ac\",\"topic\":\"in\",\"partition\":0,\"offset\":4}"
                        .length(),
                record.value().length);
        assertTrue(Events.text(record.value()).startsWith("{\"size\":5000,\"sha256\":\""));
        assertTrue(headers(record).containsAll(List.of("small: 1", "dead-letter-reason: bad-input", "source-offset: 4")));
        assertEquals(0, headers(record).stream().filter(line -> line.startsWith("large")).count());
        assertArrayEquals(Events.utf8("k4"), record.key());
    }

    @Test
    void theSizeIsKafkasOwn() {
        for (Event event : List.of(Events.event(1, "v"), Events.event(2, "w".repeat(500), Events.headers("é", null, "b", "1")))) {
            ProducerRecord<byte[], byte[]> record = write(event);
            int kafkas = AbstractRecords.estimateSizeInBytesUpperBound(
                    RecordBatch.CURRENT_MAGIC_VALUE, Compression.NONE.type(), record.key(), record.value(), record.headers().toArray());
            int ours = RecordSize.estimateBytes(record);
            assertTrue(ours >= kafkas && ours <= kafkas + 3, ours + " and " + kafkas);
            assertTrue(RecordSize.fits(record, ours) && !RecordSize.fits(record, ours - 1));
        }
    }

    @Test
    void whereEventsEndIsCountedOnce() {
        Event event = Events.event(4, "in").withValue(new byte[500], Events.trace("grow", -1));
        EventSerializer serializer = new EventSerializer("out", "dead", 1000, 10_000, () -> nowMs);
        serializer.open(Metrics.writing(counted), null);
        assertEquals(Map.of("outcome=in_time events", 0L, "outcome=late events", 0L, "outcome=dead_letter events", 0L), counted.counts());
        serializer.serialize(event, null, 5L);
        nowMs = Events.DEADLINE_MS + 1;
        serializer.serialize(event, null, 5L);
        serializer.serialize(event, null, 5L);
        serializer.serialize(event.withFailure(new Failure("b", "bad-input", "x")), null, 5L);
        serializer.serialize(Events.event(5, "in").withValue(new byte[2000], Events.trace("grow", -1)), null, 5L);
        assertEquals(
                Map.of(
                        "outcome=in_time events", 1L,
                        "outcome=late events", 2L,
                        "outcome=dead_letter events", 2L,
                        "stage=b reason=bad-input deadLetters", 1L,
                        "stage=grow reason=too-large deadLetters", 1L),
                counted.counts());
    }

    @Test
    void reasonsThatOperatorsMakeUpWithoutEndCountTogether() {
        Endings endings = new Endings(counted);
        for (int i = 0; i < Endings.REASONS_MOST + 7; i++) {
            endings.deadLetter(new Failure("b", "reason-" + i, ""));
        }
        assertEquals(3 + Endings.REASONS_MOST + 1, counted.counts().size());
        assertEquals(7L, counted.counts().get("stage=other reason=other deadLetters"));
        assertEquals(Endings.REASONS_MOST + 7L, counted.counts().get("outcome=dead_letter events"));
    }
}
