package io.sluice.flink;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.core.memory.DataOutputView;

/**
 * A body after its length, which crosses Flink's views in one piece: each array that is read from network memory by itself costs about as much as all of
 * a small event. Not thread-safe: it keeps its buffers, except for large bodies.
 */
final class Framed {

    private static final int LARGE_BYTES = 1 << 16;

    private final DataInputDeserializer in = new DataInputDeserializer();
    private DataOutputSerializer out = new DataOutputSerializer(512);
    private byte[] held = new byte[512];

    /** Where the next body is to be written, before {@link #write}. */
    DataOutputView body() {
        out.clear();
        return out;
    }

    void write(DataOutputView to) throws IOException {
        Bytes.writeInt(out.length(), to);
        to.write(out.getSharedBuffer(), 0, out.length());
        if (out.length() > LARGE_BYTES) {
            out = new DataOutputSerializer(512);
        }
    }

    /** The body that comes next, to be read to its end before anything else. */
    DataInputView read(DataInputView from) throws IOException {
        int length = Bytes.readInt(from);
        if (length > LARGE_BYTES) {
            return from;
        }
        if (length > held.length) {
            held = new byte[Math.max(length, Math.min(2 * held.length, LARGE_BYTES))];
        }
        from.readFully(held, 0, length);
        in.setBuffer(held, 0, length);
        return in;
    }
}
