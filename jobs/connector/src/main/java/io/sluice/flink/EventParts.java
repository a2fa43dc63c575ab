package io.sluice.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** The parts of an event in bytes, each written and read by a pair of methods of one name. Not thread-safe: it remembers names. */
final class EventParts {

    private static final int LABELS = 16;

    private final Names names = new Names();
    private final Trace.Label[] labels = new Trace.Label[LABELS];

    void origin(Origin origin, int flags, DataOutputView out) throws IOException {
        names.write(origin.topic(), out);
        Bytes.writeInt(origin.partition(), out);
        out.writeLong(origin.offset());
        out.writeLong(origin.timestampMs());
        out.writeLong(origin.deadlineMs());
        if (EventTypeSerializer.hasMinAccuracy(flags)) {
            out.writeFloat(origin.minAccuracy());
        }
        if (EventTypeSerializer.hasWorth(flags)) {
            out.writeFloat(origin.worth());
        }
        if (EventTypeSerializer.hasKey(flags)) {
            Bytes.write(origin.key(), out);
        }
        if (EventTypeSerializer.hasOriginal(flags)) {
            Bytes.write(origin.value(), out);
        }
        if (EventTypeSerializer.hasHeaders(flags)) {
            headers(origin.headers(), out);
        }
    }

    Origin origin(int flags, DataInputView in) throws IOException {
        String topic = names.read(in);
        int partition = Bytes.readInt(in);
        long offset = in.readLong();
        long timestampMs = in.readLong();
        long deadlineMs = in.readLong();
        float minAccuracy = EventTypeSerializer.hasMinAccuracy(flags) ? in.readFloat() : Origin.NO_MIN_ACCURACY;
        float worth = EventTypeSerializer.hasWorth(flags) ? in.readFloat() : Origin.PLAIN_WORTH;
        byte[] key = EventTypeSerializer.hasKey(flags) ? Bytes.read(in) : null;
        byte[] value = EventTypeSerializer.hasOriginal(flags) ? Bytes.read(in) : null;
        EventHeaders headers = EventTypeSerializer.hasHeaders(flags) ? headers(in) : EventHeaders.NONE;
        return new Origin(topic, partition, offset, timestampMs, key, value, headers, deadlineMs, minAccuracy, worth);
    }

    private void headers(EventHeaders headers, DataOutputView out) throws IOException {
        Bytes.writeInt(headers.size(), out);
        for (int i = 0; i < headers.size(); i++) {
            names.write(headers.names[i], out);
            Bytes.writeNullable(headers.values[i], out);
        }
    }

    private EventHeaders headers(DataInputView in) throws IOException {
        int size = Bytes.readInt(in);
        String[] headerNames = new String[size];
        byte[][] values = new byte[size][];
        for (int i = 0; i < size; i++) {
            headerNames[i] = names.read(in);
            values[i] = Bytes.readNullable(in);
        }
        return new EventHeaders(headerNames, values);
    }

    void slots(byte[][] slots, DataOutputView out) throws IOException {
        Bytes.writeInt(slots.length, out);
        for (byte[] slot : slots) {
            Bytes.writeNullable(slot, out);
        }
    }

    byte[][] slots(DataInputView in) throws IOException {
        byte[][] slots = new byte[Bytes.readInt(in)][];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = Bytes.readNullable(in);
        }
        return slots;
    }

    void frames(int[] frames, DataOutputView out) throws IOException {
        Bytes.writeInt(frames.length, out);
        for (int number : frames) {
            out.writeInt(number);
        }
    }

    int[] frames(DataInputView in) throws IOException {
        int[] frames = new int[Bytes.readInt(in)];
        for (int i = 0; i < frames.length; i++) {
            frames[i] = in.readInt();
        }
        return frames;
    }

    void traces(Trace[] traces, int from, DataOutputView out) throws IOException {
        Bytes.writeInt(traces.length - from, out);
        for (int i = from; i < traces.length; i++) {
            Trace trace = traces[i];
            names.write(trace.label().stage, out);
            names.write(trace.label().variant, out);
            names.write(trace.label().version, out);
            Bytes.writeInt(trace.queueUs(), out);
            Bytes.writeInt(trace.computeUs(), out);
            Bytes.writeInt(trace.child() + 1, out);
        }
    }

    Trace[] traces(DataInputView in) throws IOException {
        Trace[] traces = new Trace[Bytes.readInt(in)];
        for (int i = 0; i < traces.length; i++) {
            Trace.Label label = label(names.read(in), names.read(in), names.read(in));
            traces[i] = new Trace(label, Bytes.readInt(in), Bytes.readInt(in), Bytes.readInt(in) - 1);
        }
        return traces;
    }

    private Trace.Label label(String stage, String variant, String version) {
        int slot = ((stage.hashCode() * 31 + variant.hashCode()) * 31 + version.hashCode()) & (LABELS - 1);
        Trace.Label label = labels[slot];
        if (label == null || !label.is(stage, variant, version)) {
            label = new Trace.Label(stage, variant, version);
            labels[slot] = label;
        }
        return label;
    }

    void failure(Failure failure, DataOutputView out) throws IOException {
        names.write(failure.stage(), out);
        names.write(failure.reason(), out);
        Bytes.write(failure.detail().getBytes(StandardCharsets.UTF_8), out);
    }

    Failure failure(DataInputView in) throws IOException {
        return new Failure(names.read(in), names.read(in), new String(Bytes.read(in), StandardCharsets.UTF_8));
    }
}
