package io.sluice.flink;

/**
 * Where an event came from and what its producer said: shared, unchanged, by everything made from one Kafka record.
 *
 * <p>{@code timestampMs} and {@code deadlineMs} are Unix times in ms; {@code minAccuracy} is -1 when the event asks for none; {@code worth}, from 0 on, is what
 * the event is worth beside others when not all can be in time. {@code key} and {@code value} may be null. The arrays are never written to.
 */
public record Origin(
        String topic,
        int partition,
        long offset,
        long timestampMs,
        byte[] key,
        byte[] value,
        EventHeaders headers,
        long deadlineMs,
        float minAccuracy,
        float worth) {

    public static final float NO_MIN_ACCURACY = -1f;
    public static final float PLAIN_WORTH = 1f;

    /** The id the producer gave, else {@code topic-partition-offset}. */
    public String eventId() {
        String given = headers.eventId();
        return given != null ? given : topic + '-' + partition + '-' + offset;
    }

    /** Bytes this origin holds in memory, roughly. */
    int sizeBytes() {
        return 120 + (key == null ? 0 : key.length) + (value == null ? 0 : value.length) + headers.sizeBytes();
    }
}
