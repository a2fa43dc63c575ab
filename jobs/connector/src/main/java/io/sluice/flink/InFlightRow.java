package io.sluice.flink;

/** An event that a proxy has received and not yet emitted, a link in the proxy's {@link InFlightTable}; or a key's turn, as one row. */
final class InFlightRow {

    final Event event;
    final byte[] input;
    /** Of the stream record; only the one who emits reads it. */
    final long timestampMs;
    final boolean hasTimestamp;
    final int sizeBytes;
    /** Whose turn it is; null for a row that is an event. */
    final WaitingKey turnOf;

    /** Set by the sender before a row is sent, read after its answer: the queues between order the two. */
    boolean keep;

    InFlightRow previous;
    InFlightRow next;

    InFlightRow(Event event, byte[] input, long timestampMs, boolean hasTimestamp) {
        this(event, input, timestampMs, hasTimestamp, null);
    }

    /** A turn, whose deadline is its first event's. */
    InFlightRow(Event first, byte[] turn, WaitingKey turnOf) {
        this(first, turn, first.origin.timestampMs(), true, turnOf);
    }

    private InFlightRow(Event event, byte[] input, long timestampMs, boolean hasTimestamp, WaitingKey turnOf) {
        this.event = event;
        this.input = input;
        this.timestampMs = timestampMs;
        this.hasTimestamp = hasTimestamp;
        this.sizeBytes = event.sizeBytes();
        this.keep = event.excused();
        this.turnOf = turnOf;
    }

    /** Whether the service must answer it even if late: turns are never thrown away. */
    boolean mustBeAnswered() {
        return keep || turnOf != null;
    }
}
