package io.sluice.flink;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/** What a join remembers of a child: its value, the stages it passed since the fan-out, its failure; no copy of its parent. */
record Child(byte[] value, Trace[] traces, Failure failure) {

    static byte[] encode(Event child, int parentTraces, EventParts parts) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(64 + (child.value == null ? 0 : child.value.length));
        Bytes.writeNullable(child.failed() ? null : child.value, out);
        parts.traces(child.traces, Math.min(parentTraces, child.traces.length), out);
        out.writeBoolean(child.failed());
        if (child.failed()) {
            parts.failure(child.failure, out);
        }
        return out.getCopyOfBuffer();
    }

    static Child decode(byte[] bytes, EventParts parts) throws IOException {
        DataInputDeserializer in = new DataInputDeserializer(bytes);
        byte[] value = Bytes.readNullable(in);
        Trace[] traces = parts.traces(in);
        return new Child(value, traces, in.readBoolean() ? parts.failure(in) : null);
    }
}
