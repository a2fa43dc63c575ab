package io.sluice.flink;

/** A micro-batch on its way: its rows, each null once answered. Guarded by the sender's lock, but for what never changes. */
final class Request {

    final String id;
    final InFlightRow[] rows;
    final long sentNanos;
    int unanswered;

    Request(String id, InFlightRow[] rows, long sentNanos) {
        this.id = id;
        this.rows = rows;
        this.sentNanos = sentNanos;
        this.unanswered = rows.length;
    }

    /** The rows nobody has answered, in order. */
    InFlightRow[] rest() {
        InFlightRow[] rest = new InFlightRow[unanswered];
        int size = 0;
        for (InFlightRow row : rows) {
            if (row != null) {
                rest[size++] = row;
            }
        }
        return rest;
    }
}
