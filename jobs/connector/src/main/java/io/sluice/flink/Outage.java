package io.sluice.flink;

/**
 * When the service could last not be reached, in Unix ms. An event whose life, from its timestamp to its deadline, met that time is backlog: it must
 * be answered even if late. So must those behind it that it delays, until for a while all that is answered is in time; or, where that never comes
 * because the load is too high anyway, for four times as long as the outage was.
 */
final class Outage {

    /** Outages closer than this are one: what the first delayed may still be on its way. */
    private static final long APART_MS = 10_000;

    private static final int RECOVERY_OUTAGES = 4;
    /** Nothing late for so long: the partitions of a topic do not catch up at the same moment. */
    private static final long CALM_MS = 2000;

    // Until the first connection everything is backlog of the start or restart.
    private long fromMs = Long.MIN_VALUE;
    private long toMs = Long.MAX_VALUE;
    /** Timestamp of the oldest event that met it: where the start is concerned, all that tells how long there was no service. */
    private long oldestMs = Long.MAX_VALUE;

    private boolean recovering;
    private long lastLateMs;

    boolean open() {
        return toMs == Long.MAX_VALUE;
    }

    /** Whether its backlog is still being worked off. */
    boolean recovering() {
        return recovering;
    }

    /** It is noticed now, but has lasted since then. */
    void begin(long sinceMs) {
        if (open()) {
            return;
        }
        if (sinceMs - toMs >= APART_MS) {
            fromMs = sinceMs;
            oldestMs = Long.MAX_VALUE;
        }
        toMs = Long.MAX_VALUE;
    }

    void end(long nowMs) {
        if (open()) {
            toMs = nowMs;
            lastLateMs = nowMs;
            recovering = true;
        }
    }

    boolean met(Origin origin, long nowMs) {
        if (origin.timestampMs() <= toMs && origin.deadlineMs() >= fromMs) {
            oldestMs = Math.min(oldestMs, origin.timestampMs());
            return true;
        }
        long lastedMs = Math.max(0, toMs - oldestMs);
        if (recovering && !open() && (lastedMs == 0 || nowMs - toMs > RECOVERY_OUTAGES * lastedMs)) { // one that nobody met leaves no backlog
            recovering = false;
        }
        return recovering && origin.timestampMs() > toMs;
    }

    /** An event was answered. */
    void answered(Origin origin, long nowMs) {
        if (origin.deadlineMs() < nowMs) {
            lastLateMs = nowMs;
        } else if (nowMs - lastLateMs >= CALM_MS) {
            recovering = false;
        }
    }
}
