package io.sluice.flink;

import io.sluice.flink.EventHeaders.BadHeaderException;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.SimpleCounter;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/**
 * A Kafka record as an {@link Event}. Every record becomes one: what cannot be read makes an event that has already failed.
 *
 * <p>The value is not looked at. A timestamp more than a second ahead is clamped to now and counted; a record whose deadline has passed when it is
 * read is backlog, and excused.
 */
public final class EventDeserializer implements KafkaRecordDeserializationSchema<Event> {

    private static final long serialVersionUID = 1L;
    private static final long CLOCK_SKEW_MS = 1000;
    static final String STAGE = "source";

    private final long sloMs;
    private final Clock clock;
    private transient Counter clamped = new SimpleCounter();

    public EventDeserializer(long sloMs, Clock clock) {
        this.sloMs = sloMs;
        this.clock = clock;
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) {
        clamped = context.getMetricGroup().counter("clampedTimestamps");
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Event> out) {
        out.collect(read(record));
    }

    Event read(ConsumerRecord<byte[], byte[]> record) {
        long nowMs = clock.nowMs();
        long timestampMs = timestamp(record.timestamp(), nowMs);
        EventHeaders headers = headers(record.headers());
        long deadlineMs = timestampMs + sloMs;
        float minAccuracy = Origin.NO_MIN_ACCURACY;
        float worth = Origin.PLAIN_WORTH;
        String unreadable = null;
        if (headers.size() > 0) {
            try {
                byte[] id = headers.single(EventHeaders.EVENT_ID);
                if (id != null) {
                    EventHeaders.decodeId(id);
                }
                byte[] deadline = headers.single(EventHeaders.DEADLINE);
                if (deadline != null) {
                    deadlineMs = EventHeaders.decodeDeadline(deadline);
                }
                byte[] accuracy = headers.single(EventHeaders.MIN_ACCURACY);
                if (accuracy != null) {
                    minAccuracy = EventHeaders.decodeMinAccuracy(accuracy);
                }
                byte[] value = headers.single(EventHeaders.EVENT_VALUE);
                if (value != null) {
                    worth = EventHeaders.decodeWorth(value);
                }
            } catch (BadHeaderException e) {
                unreadable = e.getMessage();
            }
        }
        Origin origin = new Origin(
                record.topic(), record.partition(), record.offset(), timestampMs, record.key(), record.value(), headers, deadlineMs, minAccuracy,
                worth);
        Event event = Event.read(origin, deadlineMs < nowMs);
        return unreadable == null ? event : event.withFailure(new Failure(STAGE, Failure.BAD_HEADER, unreadable));
    }

    private long timestamp(long recordMs, long nowMs) {
        if (recordMs < 0) {
            return nowMs;
        }
        if (recordMs > nowMs + CLOCK_SKEW_MS) {
            clamped.inc();
            return nowMs;
        }
        return recordMs;
    }

    private static EventHeaders headers(Headers headers) {
        Header[] all = headers.toArray();
        if (all.length == 0) {
            return EventHeaders.NONE;
        }
        String[] names = new String[all.length];
        byte[][] values = new byte[all.length][];
        for (int i = 0; i < all.length; i++) {
            names[i] = all[i].key();
            values[i] = all[i].value();
        }
        return new EventHeaders(names, values);
    }

    @Override
    public TypeInformation<Event> getProducedType() {
        return EventTypeInfo.INSTANCE;
    }
}
