package io.sluice.flink;

import org.apache.kafka.common.header.Header;

/** A header to be written. Kafka's own, which can also be read lazily, costs each record a memory barrier for each of its fields. */
record OutputHeader(String key, byte[] value) implements Header {}
