package io.sluice.flink;

import java.io.Serializable;
import java.util.Properties;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.kafka.clients.producer.ProducerConfig;

/** The Kafka sink of a pipeline: output and dead letters from one producer, so that one transaction holds both. */
public final class EventSink implements Serializable {

    private static final long serialVersionUID = 1L;
    private static final int PRODUCER_DEFAULT_MAX_BYTES = 1 << 20;

    private final String bootstrapServers;
    private final String outputTopic;
    private final String deadLetterTopic;
    private int outputMaxBytes = PRODUCER_DEFAULT_MAX_BYTES;
    private int deadLetterMaxBytes = PRODUCER_DEFAULT_MAX_BYTES;
    private boolean exactlyOnce;
    private String transactionalIdPrefix = "";
    private final Properties producer = new Properties();

    public EventSink(String bootstrapServers, String outputTopic, String deadLetterTopic) {
        this.bootstrapServers = bootstrapServers;
        this.outputTopic = outputTopic;
        this.deadLetterTopic = deadLetterTopic;
    }

    /** The largest records, by Kafka's own estimate, that go to each topic. */
    public EventSink maxBytes(int output, int deadLetter) {
        outputMaxBytes = output;
        deadLetterMaxBytes = deadLetter;
        return this;
    }

    /** Exactly once instead of at least once; the prefix must be the pipeline's own. */
    public EventSink exactlyOnce(String prefix) {
        exactlyOnce = true;
        transactionalIdPrefix = prefix;
        return this;
    }

    public EventSink producer(Properties properties) {
        producer.putAll(properties);
        return this;
    }

    public KafkaSink<Event> build() {
        Properties properties = new Properties();
        properties.put(ProducerConfig.LINGER_MS_CONFIG, "3"); // 1 ms makes many small requests under load; Kafka's 5 are a good part of a short deadline
        properties.put(ProducerConfig.BATCH_SIZE_CONFIG, Integer.toString(256 << 10)); // its 16 KiB fill many times in those 2 ms under load
        properties.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, Integer.toString(Math.max(outputMaxBytes, deadLetterMaxBytes)));
        properties.putAll(producer);
        KafkaSinkBuilder<Event> builder = KafkaSink.<Event>builder()
                .setBootstrapServers(bootstrapServers)
                .setKafkaProducerConfig(properties)
                .setDeliveryGuarantee(exactlyOnce ? DeliveryGuarantee.EXACTLY_ONCE : DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(new EventSerializer(outputTopic, deadLetterTopic, outputMaxBytes, deadLetterMaxBytes, Clock.SYSTEM));
        if (exactlyOnce) {
            builder.setTransactionalIdPrefix(transactionalIdPrefix);
        }
        return builder.build();
    }
}
