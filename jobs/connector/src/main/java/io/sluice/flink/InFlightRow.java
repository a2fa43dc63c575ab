package io.sluice.flink;

/** An event that a proxy has received and not yet emitted; a link in the proxy's {@link InFlightTable}. */
final class InFlightRow {

    final Event event;
    final byte[] input;
    /** Of the stream record; only the one who emits reads it. */
    final long timestampMs;
    final boolean hasTimestamp;
    final int sizeBytes;

    /** Set by the sender before a row is sent, read after its answer: the queues between order the two. */
    boolean keep;

    InFlightRow previous;
    InFlightRow next;

    InFlightRow(Event event, byte[] input, long timestampMs, boolean hasTimestamp) {
        this.event = event;
        this.input = input;
        this.timestampMs = timestampMs;
        this.hasTimestamp = hasTimestamp;
        this.sizeBytes = event.sizeBytes();
        this.keep = event.excused();
    }
}
