package io.sluice.flink;

import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.streaming.api.operators.InternalTimerService;

/**
 * The states of a stage's keys in Flink's keyed state, each with the time of its last event; every method is about the backend's current key.
 *
 * <p>The time to live counts by the events' timestamps, so that it is the same after a restart and for a backlog: an event that comes more than it after
 * the last one of its key finds no state. What nobody asks for any more is removed by a timer of the machine's clock, which looks after each time to
 * live, once the newest event of this subtask is twice as far ahead: events of a partition that lags behind by less still find their state.
 */
final class KeyStates {

    static final ValueStateDescriptor<byte[]> DESCRIPTOR =
            new ValueStateDescriptor<>("state", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    /** What is stored: time of the last event, time of the timer, state. */
    static final int HEAD_BYTES = 16;

    static final byte[] NONE = new byte[HEAD_BYTES];

    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int TIMER = 8;
    private static final long BEFORE_ALL = Long.MIN_VALUE;

    private final ValueState<byte[]> stored;
    private final InternalTimerService<VoidNamespace> timers;
    private final long ttlMs;
    private final StateAges ages;
    private final Counter expired;
    private long newestMs = BEFORE_ALL;
    // Read by the metrics' thread.
    private volatile long keys;
    private volatile long bytes;
    private volatile long oldestAgeMs;

    KeyStates(ValueState<byte[]> stored, InternalTimerService<VoidNamespace> timers, long ttlMs, MetricGroup group) {
        this.stored = stored;
        this.timers = timers;
        this.ttlMs = ttlMs;
        this.ages = new StateAges(ttlMs);
        this.expired = group.counter("stateExpired");
        group.gauge("stateKeys", () -> keys);
        group.gauge("stateBytes", () -> bytes);
        group.gauge("stateAgeMs", () -> oldestAgeMs);
    }

    /** Counts what was restored. */
    void found(byte[] entry) {
        count(entry, 1);
        newestMs = Math.max(newestMs, touchedMs(entry));
        oldestAgeMs = newestMs - ages.oldestMs(newestMs);
    }

    /** Null when nothing is kept. */
    byte[] read() throws IOException {
        return stored.value();
    }

    static long touchedMs(byte[] entry) {
        return (long) LONG.get(entry, 0);
    }

    /** Whether an event of this time finds the entry's state no more. */
    boolean tooOld(byte[] entry, long eventMs) {
        return eventMs - touchedMs(entry) > ttlMs;
    }

    /** Keeps the state that {@code from} and {@code length} point out in the array; of no bytes: forgets the key. */
    void write(byte[] array, int from, int length, long touchedMs, boolean anew) throws IOException {
        byte[] old = stored.value();
        if (anew) {
            expired.inc();
        }
        if (length == 0) {
            forget(old);
            return;
        }
        byte[] entry = new byte[HEAD_BYTES + length];
        LONG.set(entry, 0, touchedMs);
        LONG.set(entry, TIMER, old == null ? startTimer() : (long) LONG.get(old, TIMER));
        System.arraycopy(array, from, entry, HEAD_BYTES, length);
        if (old != null) {
            count(old, -1);
        }
        count(entry, 1);
        stored.update(entry);
        newestMs = Math.max(newestMs, touchedMs);
        oldestAgeMs = newestMs - ages.oldestMs(newestMs);
    }

    /** The timer of a key has run out. */
    void timer() throws IOException {
        byte[] entry = stored.value();
        if (entry == null) {
            return;
        }
        if (newestMs - touchedMs(entry) > 2 * ttlMs) {
            expired.inc();
            count(entry, -1);
            stored.clear();
        } else {
            byte[] again = entry.clone();
            LONG.set(again, TIMER, startTimer());
            stored.update(again);
        }
    }

    private void forget(byte[] old) {
        if (old != null) {
            timers.deleteProcessingTimeTimer(VoidNamespace.INSTANCE, (long) LONG.get(old, TIMER));
            count(old, -1);
            stored.clear();
        }
    }

    private long startTimer() {
        long dueMs = timers.currentProcessingTime() + ttlMs;
        timers.registerProcessingTimeTimer(VoidNamespace.INSTANCE, dueMs);
        return dueMs;
    }

    private void count(byte[] entry, int sign) {
        keys += sign;
        bytes += sign * (long) (entry.length - HEAD_BYTES);
        if (sign > 0) {
            ages.add(touchedMs(entry));
        } else {
            ages.remove(touchedMs(entry));
        }
    }
}
