package io.sluice.flink;

import java.util.Properties;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;

/** The Kafka source of a pipeline. */
public final class EventSource {

    private EventSource() {}

    /**
     * @param startingOffsets where a job without a checkpoint begins: {@code earliest}, {@code latest}, or {@code committed} (the group's offsets, else earliest)
     */
    public static KafkaSource<Event> of(
            String bootstrapServers, String topic, String groupId, long sloMs, String startingOffsets, Properties consumer) {
        return KafkaSource.<Event>builder()
                .setBootstrapServers(bootstrapServers)
                .setTopics(topic)
                .setGroupId(groupId)
                .setStartingOffsets(offsets(startingOffsets))
                .setProperty(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "2000") // each poll is a hand-over between two threads
                .setProperties(consumer)
                .setDeserializer(new EventDeserializer(sloMs, Clock.SYSTEM))
                .build();
    }

    private static OffsetsInitializer offsets(String name) {
        return switch (name) {
            case "earliest" -> OffsetsInitializer.earliest();
            case "latest" -> OffsetsInitializer.latest();
            case "committed" -> OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST);
            default -> throw new IllegalArgumentException("starting offsets '" + name + "'; use earliest, committed or latest");
        };
    }
}
