package io.sluice.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Writes and reads strings of which few different ones occur (topics, header names, stages), without encoding or decoding each anew.
 *
 * <p>Two direct-mapped caches; a string that misses costs what it would cost anyway. Not thread-safe.
 */
final class Names {

    private static final int SLOTS = 64;
    private static final int LONGEST_CACHED = 128;

    private final String[] written = new String[SLOTS];
    private final byte[][] writtenBytes = new byte[SLOTS][];
    private final String[] read = new String[SLOTS];
    private final byte[][] readBytes = new byte[SLOTS][];
    private final byte[] scratch = new byte[LONGEST_CACHED];

    void write(String name, DataOutputView out) throws IOException {
        int slot = name.hashCode() & (SLOTS - 1);
        if (!name.equals(written[slot])) {
            written[slot] = name;
            writtenBytes[slot] = name.getBytes(StandardCharsets.UTF_8);
        }
        Bytes.write(writtenBytes[slot], out);
    }

    String read(DataInputView in) throws IOException {
        int length = Bytes.readInt(in);
        if (length > LONGEST_CACHED) {
            byte[] bytes = new byte[length];
            in.readFully(bytes, 0, length);
            return new String(bytes, StandardCharsets.UTF_8);
        }
        in.readFully(scratch, 0, length);
        int slot = hash(length) & (SLOTS - 1);
        byte[] known = readBytes[slot];
        if (known == null || !Arrays.equals(known, 0, known.length, scratch, 0, length)) {
            readBytes[slot] = Arrays.copyOf(scratch, length);
            read[slot] = new String(scratch, 0, length, StandardCharsets.UTF_8);
        }
        return read[slot];
    }

    private int hash(int length) {
        int hash = length;
        for (int i = 0; i < length; i++) {
            hash = hash * 31 + scratch[i];
        }
        return hash ^ (hash >>> 16);
    }
}
