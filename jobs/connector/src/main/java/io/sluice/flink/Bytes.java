package io.sluice.flink;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Numbers and byte arrays in their short form on Flink's views. */
final class Bytes {

    static final byte[] EMPTY = {};

    private Bytes() {}

    static void writeInt(int number, DataOutputView out) throws IOException {
        while ((number & ~0x7f) != 0) {
            out.writeByte((number & 0x7f) | 0x80);
            number >>>= 7;
        }
        out.writeByte(number);
    }

    static int readInt(DataInputView in) throws IOException {
        int number = 0;
        for (int shift = 0; ; shift += 7) {
            int b = in.readByte();
            number |= (b & 0x7f) << shift;
            if (b >= 0) {
                return number;
            }
        }
    }

    static void write(byte[] bytes, DataOutputView out) throws IOException {
        writeInt(bytes.length, out);
        out.write(bytes, 0, bytes.length);
    }

    static byte[] read(DataInputView in) throws IOException {
        return readExactly(readInt(in), in);
    }

    /** Null is told from empty by a length one higher. */
    static void writeNullable(byte[] bytes, DataOutputView out) throws IOException {
        if (bytes == null) {
            out.writeByte(0);
        } else {
            writeInt(bytes.length + 1, out);
            out.write(bytes, 0, bytes.length);
        }
    }

    static byte[] readNullable(DataInputView in) throws IOException {
        int length = readInt(in) - 1;
        return length < 0 ? null : readExactly(length, in);
    }

    private static byte[] readExactly(int length, DataInputView in) throws IOException {
        if (length == 0) {
            return EMPTY;
        }
        byte[] bytes = new byte[length];
        in.readFully(bytes, 0, length);
        return bytes;
    }
}
