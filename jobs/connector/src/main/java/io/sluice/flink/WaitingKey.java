package io.sluice.flink;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/** A key's events that are not applied yet, in order; its turn, while one is out, holds the first of them. Touched by the task's thread only. */
final class WaitingKey {

    final String key;
    final ArrayDeque<Event> events = new ArrayDeque<>(4);
    /** Events of the turn that is out, 0 = none is. */
    int out;
    /** What becomes the key's last event time once the turn is applied. */
    long touchedMs;
    /** The state had expired before the turn. */
    boolean anew;
    /** So many of the first events have failed together; a fault among them is found by halving. */
    private int suspects;

    WaitingKey(String key) {
        this.key = key;
    }

    /** Events that the next turn may have. */
    int allowed(int most) {
        return suspects == 0 ? most : Math.min(most, (suspects + 1) / 2);
    }

    /** The turn that was out has failed. True: its one event did; false: one of its events, and smaller turns will tell which. */
    boolean condemned() {
        suspects = out == 1 ? 0 : out;
        return suspects == 0;
    }

    void applied() {
        suspects = Math.max(0, suspects - out);
    }

    /** The rows of the next turn, which is then out: as many as bounds allow, up to a gap of more than the time to live. */
    List<byte[]> takeTurn(ProxySettings settings, long lastMs) {
        List<byte[]> rows = new ArrayList<>();
        int most = allowed(settings.maxRows);
        long bytes = 0;
        touchedMs = lastMs;
        for (Event event : events) {
            byte[] row = settings.input(event);
            bytes += row.length;
            boolean gap = event.origin.timestampMs() - touchedMs > settings.state.ttlMs();
            if (!rows.isEmpty() && (rows.size() == most || bytes > settings.maxBytes || gap)) {
                break;
            }
            rows.add(row);
            touchedMs = Math.max(touchedMs, event.origin.timestampMs());
        }
        out = rows.size();
        return rows;
    }
}
