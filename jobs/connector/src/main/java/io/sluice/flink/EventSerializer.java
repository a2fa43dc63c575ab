package io.sluice.flink;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * An {@link Event} as a Kafka record: of the output topic when it is healthy, of the dead letters when it failed or is too large for the output.
 *
 * <p>What is too large even for the dead letters goes there as a stub that says how large it was, its digest and where it came from.
 */
public final class EventSerializer implements KafkaRecordSerializationSchema<Event> {

    private static final long serialVersionUID = 1L;

    private final String outputTopic;
    private final String deadLetterTopic;
    private final int outputMaxBytes;
    private final int deadLetterMaxBytes;
    private final Clock clock;
    private transient RecordHeadersWriter writer;
    private transient Endings endings;

    public EventSerializer(String outputTopic, String deadLetterTopic, int outputMaxBytes, int deadLetterMaxBytes, Clock clock) {
        this.outputTopic = outputTopic;
        this.deadLetterTopic = deadLetterTopic;
        this.outputMaxBytes = outputMaxBytes;
        this.deadLetterMaxBytes = deadLetterMaxBytes;
        this.clock = clock;
    }

    @Override
    public void open(SerializationSchema.InitializationContext context, KafkaSinkContext sink) {
        endings = new Endings(context.getMetricGroup());
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(Event event, KafkaSinkContext context, Long timestamp) {
        if (writer == null) {
            writer = new RecordHeadersWriter();
        }
        boolean late = clock.nowMs() > event.origin.deadlineMs();
        if (event.failed()) {
            return deadLetter(event, late);
        }
        ProducerRecord<byte[], byte[]> output = output(event, late);
        if (RecordSize.fits(output, outputMaxBytes)) {
            endings.output(late);
            return output;
        }
        String detail = "the output record has " + RecordSize.estimateBytes(output) + " bytes; " + outputTopic + " takes " + outputMaxBytes;
        return deadLetter(event.withFailure(new Failure(lastStage(event), Failure.TOO_LARGE, detail)), late);
    }

    private ProducerRecord<byte[], byte[]> output(Event event, boolean late) {
        writer.original(event, Integer.MAX_VALUE);
        writer.added(event, late);
        writer.traces(event);
        return record(outputTopic, event.origin.key(), event.marksNoChildren() ? null : event.value);
    }

    private ProducerRecord<byte[], byte[]> deadLetter(Event event, boolean late) {
        endings.deadLetter(event.failure);
        ProducerRecord<byte[], byte[]> whole =
                deadLetter(event, late, event.origin.key(), event.origin.value(), Integer.MAX_VALUE, true);
        if (RecordSize.fits(whole, deadLetterMaxBytes)) {
            return whole;
        }
        byte[] stub = stub(event.origin);
        byte[] key = event.origin.key() != null && event.origin.key().length > deadLetterMaxBytes / 4 ? null : event.origin.key();
        ProducerRecord<byte[], byte[]> shorter = deadLetter(event, late, key, stub, deadLetterMaxBytes / 8, true);
        return RecordSize.fits(shorter, deadLetterMaxBytes) ? shorter : deadLetter(event, late, null, stub, -1, false);
    }

    private ProducerRecord<byte[], byte[]> deadLetter(
            Event event, boolean late, byte[] key, byte[] value, int longestHeaderBytes, boolean traces) {
        writer.original(event, longestHeaderBytes);
        writer.added(event, late);
        if (traces) {
            writer.traces(event);
        }
        writer.failure(event);
        return record(deadLetterTopic, key, value);
    }

    private ProducerRecord<byte[], byte[]> record(String topic, byte[] key, byte[] value) {
        return new ProducerRecord<>(topic, null, null, key, value, writer.headers());
    }

    private static String lastStage(Event event) {
        return event.traces.length == 0 ? EventDeserializer.STAGE : event.traces[event.traces.length - 1].label().stage;
    }

    private static byte[] stub(Origin origin) {
        byte[] value = origin.value() == null ? Bytes.EMPTY : origin.value();
        // Kafka allows only letters, digits, dots, dashes and underscores in a topic's name: nothing to escape.
        String stub = "{\"size\":" + value.length + ",\"sha256\":\"" + sha256(value) + "\",\"topic\":\"" + origin.topic()
                + "\",\"partition\":" + origin.partition() + ",\"offset\":" + origin.offset() + '}';
        return stub.getBytes(StandardCharsets.UTF_8);
    }

    private static String sha256(byte[] value) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(value));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
