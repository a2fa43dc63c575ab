package io.sluice.flink;

/**
 * When the service could last not be reached, in Unix ms. An event whose life, from its timestamp to its deadline, met that time is backlog: it must
 * be answered even if late.
 */
final class Outage {

    /** Outages closer than this are one: what the first delayed may still be on its way. */
    private static final long APART_MS = 10_000;

    // Until the first connection everything is backlog of the start or restart.
    private long fromMs = Long.MIN_VALUE;
    private long toMs = Long.MAX_VALUE;

    boolean open() {
        return toMs == Long.MAX_VALUE;
    }

    void begin(long nowMs) {
        if (open()) {
            return;
        }
        if (nowMs - toMs >= APART_MS) {
            fromMs = nowMs;
        }
        toMs = Long.MAX_VALUE;
    }

    void end(long nowMs) {
        if (open()) {
            toMs = nowMs;
        }
    }

    boolean met(Origin origin) {
        return origin.timestampMs() <= toMs && origin.deadlineMs() >= fromMs;
    }
}
