package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;

class EventTypeSerializerTest {

    private static final String LONG_NAME = "n".repeat(300);

    private static Event roundTrip(Event event) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(64);
        new EventTypeSerializer().serialize(event, out);
        DataInputDeserializer in = new DataInputDeserializer(out.getCopyOfBuffer());
        Event read = new EventTypeSerializer().deserialize(in);
        assertEquals(0, in.available());
        return read;
    }

    private static void assertSameEvent(Event expected, Event actual) {
        Origin a = expected.origin;
        Origin b = actual.origin;
        assertEquals(
                List.of(a.topic(), a.partition(), a.offset(), a.timestampMs(), a.deadlineMs(), a.minAccuracy(), a.worth()),
                List.of(b.topic(), b.partition(), b.offset(), b.timestampMs(), b.deadlineMs(), b.minAccuracy(), b.worth()));
        assertArrayEquals(a.key(), b.key());
        assertArrayEquals(a.value(), b.value());
        assertArrayEquals(a.headers().names, b.headers().names);
        assertArrayEquals(a.headers().values, b.headers().values);
        assertArrayEquals(expected.value, actual.value);
        assertArrayEquals(expected.slots, actual.slots);
        assertArrayEquals(expected.frames, actual.frames);
        assertArrayEquals(expected.traces, actual.traces);
        assertEquals(expected.failure, actual.failure);
        assertEquals(expected.sequence, actual.sequence);
        assertEquals(expected.marks, actual.marks);
    }

    @Test
    void everyKindOfEventComesBackAsItWas() throws IOException {
        Event plain = Events.event(7, "value");
        Event bare = Event.read(new Origin("t", 3, Long.MAX_VALUE, 0, null, null, EventHeaders.NONE, -5, 0.25f, 2.5f), true);
        Event headed = Events.event(8, "", Events.headers("a", "1", "a", null, "b", "", LONG_NAME, "é", "a", "1"));
        Event worked = headed.withValue(Events.utf8("result"), Events.trace("classify", -1)).withSlot(2, Events.utf8("kept")).withSequence(0);
        Event child = Events.child(Events.child(worked, 1, 3, "c"), 70_000, 100_000, null).withSkip(true);
        Event failed = child.withFailure(new Failure("classify", "bad-input", "x".repeat(5000) + "é"));
        for (Event event : List.of(plain, bare, headed, worked, child, failed, Events.noChildren(plain))) {
            assertSameEvent(event, roundTrip(event));
        }
    }

    @Test
    void anUntouchedValueIsWrittenOnceAndReadAsTheSameArray() throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(64);
        new EventTypeSerializer().serialize(Events.event(1, "v".repeat(1000)), out);
        assertTrue(out.length() < 1060, "bytes: " + out.length());
        Event read = roundTrip(Events.event(1, "value"));
        assertSame(read.origin.value(), read.value);
        Event other = roundTrip(Events.event(1, "value").withValue(Events.utf8("value"), Events.trace("s", -1)));
        assertNotSame(other.origin.value(), other.value);
    }

    @Test
    void eventsOfAnySizeFollowEachOther() throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(64);
        EventTypeSerializer serializer = new EventTypeSerializer();
        List<Event> events = List.of(Events.event(1, "a"), Events.event(2, "b".repeat(200_000)), Events.event(3, ""), Events.event(4, "c".repeat(3000)));
        for (Event event : events) {
            serializer.serialize(event, out);
        }
        DataOutputSerializer copied = new DataOutputSerializer(64);
        DataInputDeserializer in = new DataInputDeserializer(out.getCopyOfBuffer());
        for (int i = 0; i < events.size(); i++) {
            serializer.copy(in, copied);
        }
        assertArrayEquals(out.getCopyOfBuffer(), copied.getCopyOfBuffer());
        in.setBuffer(copied.getCopyOfBuffer());
        for (Event event : events) {
            assertSameEvent(event, serializer.deserialize(in));
        }
        assertEquals(0, in.available());
    }

    @Test
    void aSnapshotRestoresAndRefusesAnotherLayout() throws IOException {
        EventTypeSerializer.Snapshot snapshot = new EventTypeSerializer.Snapshot();
        assertEquals(new EventTypeSerializer(), snapshot.restoreSerializer());
        assertTrue(new EventTypeSerializer().snapshotConfiguration().resolveSchemaCompatibility(snapshot).isCompatibleAsIs());
        for (int other : List.of(snapshot.getCurrentVersion() - 1, snapshot.getCurrentVersion() + 1)) {
            assertThrows(IOException.class, () -> snapshot.readSnapshot(other, new DataInputDeserializer(), getClass().getClassLoader()));
        }
    }
}
