package io.sluice.flink;

import java.util.TreeMap;

/** How many keys had their last event when, counted in slices of time: enough to say how old the oldest is without a list of all. */
final class StateAges {

    private static final int SLICES = 64;

    private final long sliceMs;
    private final TreeMap<Long, int[]> slices = new TreeMap<>();

    StateAges(long ttlMs) {
        sliceMs = Math.max(1, ttlMs / SLICES);
    }

    void add(long touchedMs) {
        slices.computeIfAbsent(Math.floorDiv(touchedMs, sliceMs), slice -> new int[1])[0]++;
    }

    void remove(long touchedMs) {
        Long slice = Math.floorDiv(touchedMs, sliceMs);
        if (--slices.get(slice)[0] == 0) {
            slices.remove(slice);
        }
    }

    /** When the oldest was touched, to the slice; {@code none} when there is no key. */
    long oldestMs(long none) {
        return slices.isEmpty() ? none : slices.firstKey() * sliceMs;
    }
}
