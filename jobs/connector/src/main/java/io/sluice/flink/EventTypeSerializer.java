package io.sluice.flink;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * The event in bytes: after the length two bytes of flags say which optional parts follow, so that a fresh event costs its record and about 35 bytes.
 *
 * <p>The value that is still the record's own is written once. The layout is version {@link Snapshot#VERSION}.
 */
public final class EventTypeSerializer extends TypeSerializer<Event> {

    private static final long serialVersionUID = 1L;

    private static final int KEY = 1;
    private static final int ORIGINAL = 1 << 1;
    private static final int VALUE = 1 << 2;
    private static final int VALUE_IS_ORIGINAL = 1 << 3;
    private static final int HEADERS = 1 << 4;
    private static final int MIN_ACCURACY = 1 << 5;
    private static final int SLOTS = 1 << 6;
    private static final int FRAMES = 1 << 7;
    private static final int TRACES = 1 << 8;
    private static final int FAILURE = 1 << 9;
    private static final int SEQUENCE = 1 << 10;
    private static final int EXCUSED = 1 << 11;
    private static final int SKIP = 1 << 12;
    private static final int WORTH = 1 << 13;

    private transient EventParts parts;
    private transient Framed framed;

    private EventParts parts() {
        if (parts == null) {
            parts = new EventParts();
            framed = new Framed();
        }
        return parts;
    }

    @Override
    public void serialize(Event event, DataOutputView target) throws IOException {
        EventParts write = parts();
        DataOutputView out = framed.body();
        int flags = flags(event);
        out.writeShort(flags);
        write.origin(event.origin, flags, out);
        if ((flags & (VALUE | VALUE_IS_ORIGINAL)) == VALUE) {
            Bytes.write(event.value, out);
        }
        if ((flags & SLOTS) != 0) {
            write.slots(event.slots, out);
        }
        if ((flags & FRAMES) != 0) {
            write.frames(event.frames, out);
        }
        if ((flags & TRACES) != 0) {
            write.traces(event.traces, 0, out);
        }
        if ((flags & FAILURE) != 0) {
            write.failure(event.failure, out);
        }
        if ((flags & SEQUENCE) != 0) {
            out.writeLong(event.sequence);
        }
        framed.write(target);
    }

    private static int flags(Event event) {
        Origin origin = event.origin;
        int flags = (event.excused() ? EXCUSED : 0) | (event.skipped() ? SKIP : 0);
        flags |= origin.key() != null ? KEY : 0;
        flags |= origin.value() != null ? ORIGINAL : 0;
        flags |= event.value != null ? VALUE : 0;
        flags |= event.value != null && event.value == origin.value() ? VALUE_IS_ORIGINAL : 0;
        flags |= origin.headers().size() > 0 ? HEADERS : 0;
        flags |= origin.minAccuracy() >= 0 ? MIN_ACCURACY : 0;
        flags |= origin.worth() != Origin.PLAIN_WORTH ? WORTH : 0;
        flags |= event.slots.length > 0 ? SLOTS : 0;
        flags |= event.frames.length > 0 ? FRAMES : 0;
        flags |= event.traces.length > 0 ? TRACES : 0;
        flags |= event.failure != null ? FAILURE : 0;
        flags |= event.sequence != Event.NO_SEQUENCE ? SEQUENCE : 0;
        return flags;
    }

    @Override
    public Event deserialize(DataInputView source) throws IOException {
        EventParts read = parts();
        DataInputView in = framed.read(source);
        int flags = in.readUnsignedShort();
        Origin origin = read.origin(flags, in);
        byte[] value = null;
        if ((flags & VALUE) != 0) {
            value = (flags & VALUE_IS_ORIGINAL) != 0 ? origin.value() : Bytes.read(in);
        }
        byte[][] slots = (flags & SLOTS) != 0 ? read.slots(in) : Event.NO_SLOTS;
        int[] frames = (flags & FRAMES) != 0 ? read.frames(in) : Frames.NONE;
        Trace[] traces = (flags & TRACES) != 0 ? read.traces(in) : Trace.NONE;
        Failure failure = (flags & FAILURE) != 0 ? read.failure(in) : null;
        long sequence = (flags & SEQUENCE) != 0 ? in.readLong() : Event.NO_SEQUENCE;
        int marks = ((flags & EXCUSED) != 0 ? Event.EXCUSED : 0) | ((flags & SKIP) != 0 ? Event.SKIP : 0);
        return new Event(origin, value, slots, frames, traces, failure, sequence, marks);
    }

    static boolean hasKey(int flags) {
        return (flags & KEY) != 0;
    }

    static boolean hasOriginal(int flags) {
        return (flags & ORIGINAL) != 0;
    }

    static boolean hasHeaders(int flags) {
        return (flags & HEADERS) != 0;
    }

    static boolean hasMinAccuracy(int flags) {
        return (flags & MIN_ACCURACY) != 0;
    }

    static boolean hasWorth(int flags) {
        return (flags & WORTH) != 0;
    }

    @Override
    public Event deserialize(Event reuse, DataInputView in) throws IOException {
        return deserialize(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        serialize(deserialize(in), out);
    }

    @Override
    public Event copy(Event event) {
        return event;
    }

    @Override
    public Event copy(Event event, Event reuse) {
        return event;
    }

    @Override
    public boolean isImmutableType() {
        return true;
    }

    /** A new one: the caches of names are not shared between threads. */
    @Override
    public TypeSerializer<Event> duplicate() {
        return new EventTypeSerializer();
    }

    @Override
    public Event createInstance() {
        return Event.read(new Origin("", 0, 0, 0, null, null, EventHeaders.NONE, 0, Origin.NO_MIN_ACCURACY, Origin.PLAIN_WORTH), false);
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof EventTypeSerializer;
    }

    @Override
    public int hashCode() {
        return EventTypeSerializer.class.hashCode();
    }

    @Override
    public TypeSerializerSnapshot<Event> snapshotConfiguration() {
        return new Snapshot();
    }

    /** What a savepoint says about the layout of its events. */
    public static final class Snapshot implements TypeSerializerSnapshot<Event> {

        static final int VERSION = 2;

        @Override
        public int getCurrentVersion() {
            return VERSION;
        }

        @Override
        public void writeSnapshot(DataOutputView out) {}

        @Override
        public void readSnapshot(int version, DataInputView in, ClassLoader classes) throws IOException {
            if (version != VERSION) {
                throw new IOException("events of layout " + version + "; this connector reads layout " + VERSION);
            }
        }

        @Override
        public TypeSerializer<Event> restoreSerializer() {
            return new EventTypeSerializer();
        }

        @Override
        public TypeSerializerSchemaCompatibility<Event> resolveSchemaCompatibility(
                TypeSerializerSnapshot<Event> older) {
            return older instanceof Snapshot
                    ? TypeSerializerSchemaCompatibility.compatibleAsIs()
                    : TypeSerializerSchemaCompatibility.incompatible();
        }
    }
}
