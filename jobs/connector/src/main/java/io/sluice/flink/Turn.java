package io.sluice.flink;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A key's turn at the service: its state and some of its events, in order, as one row; and what comes back. Little-endian, numbers of 32 bits.
 *
 * <pre>
 * row     events n | bytes of the state | bytes of each event [n] | state | events
 * answer  events n | bytes of the state | elements m | elements of each event [n], -1 = it failed | bytes of each element [m] | state | elements
 * </pre>
 *
 * A state of no bytes is that of a key of which nothing is kept. An event that failed has one element, its {@code reason: detail}; any other its results.
 */
final class Turn {

    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int FAILED = -1;

    private Turn() {}

    /** The state is what {@code stored} holds from {@code from} on. */
    static byte[] encode(byte[] stored, int from, List<byte[]> events) {
        int stateBytes = stored.length - from;
        int size = Math.addExact(8 + 4 * events.size(), stateBytes);
        for (byte[] event : events) {
            size = Math.addExact(size, event.length);
        }
        byte[] row = new byte[size];
        INT.set(row, 0, events.size());
        INT.set(row, 4, stateBytes);
        int length = 8;
        int at = 8 + 4 * events.size();
        System.arraycopy(stored, from, row, at, stateBytes);
        at += stateBytes;
        for (byte[] event : events) {
            INT.set(row, length, event.length);
            System.arraycopy(event, 0, row, at, event.length);
            length += 4;
            at += event.length;
        }
        return row;
    }

    /** An answer, read event by event in order. */
    static final class Applied {

        final byte[] bytes;
        final int stateFrom;
        final int stateBytes;
        private int counts;
        private int lengths;
        private int at;

        private Applied(byte[] bytes, int events, int elements) {
            this.bytes = bytes;
            this.stateBytes = (int) INT.get(bytes, 4);
            this.counts = 12;
            this.lengths = 12 + 4 * events;
            this.stateFrom = lengths + 4 * elements;
            this.at = stateFrom + stateBytes;
        }

        /** Results of the next event, or {@link #FAILED}. */
        int next() {
            int count = (int) INT.get(bytes, counts);
            counts += 4;
            return count;
        }

        static boolean failed(int count) {
            return count == FAILED;
        }

        byte[] element() {
            int length = (int) INT.get(bytes, lengths);
            lengths += 4;
            byte[] element = length == 0 ? Bytes.EMPTY : java.util.Arrays.copyOfRange(bytes, at, at + length);
            at += length;
            return element;
        }

        String reason() {
            return new String(element(), StandardCharsets.UTF_8);
        }
    }

    /** Null when these bytes are no answer to a turn of so many events. */
    static Applied applied(byte[] answer, int events) {
        if (answer.length < 12 || (int) INT.get(answer, 0) != events) {
            return null;
        }
        int state = (int) INT.get(answer, 4);
        int elements = (int) INT.get(answer, 8);
        long head = 12 + 4L * events + 4L * elements;
        if (state < 0 || elements < 0 || head + state > answer.length) {
            return null;
        }
        long wanted = 0;
        for (int i = 0; i < events; i++) {
            int count = (int) INT.get(answer, 12 + 4 * i);
            if (count < FAILED) {
                return null;
            }
            wanted += Math.abs(count);
        }
        long size = head + state;
        for (int i = 0; i < elements; i++) {
            int length = (int) INT.get(answer, 12 + 4 * events + 4 * i);
            if (length < 0) {
                return null;
            }
            size += length;
        }
        return wanted == elements && size == answer.length ? new Applied(answer, events, elements) : null;
    }
}
