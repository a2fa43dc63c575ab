package io.sluice.flink;

import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.utils.ByteUtils;
import org.apache.kafka.common.utils.Utils;

/** The size that the Kafka producer holds against {@code max.request.size}: the record alone in a batch, at most. */
final class RecordSize {

    private static final int BATCH_OVERHEAD_BYTES = 61;
    private static final int RECORD_OVERHEAD_BYTES = 21;

    private static final int VARINT_MOST_BYTES = 5;
    private static final int CHARACTER_MOST_BYTES = 3;

    private RecordSize() {}

    /** Whether the estimate is at most that; nearly always without looking at each character of each header's name. */
    static boolean fits(ProducerRecord<byte[], byte[]> record, int maxBytes) {
        return mostBytes(record) <= maxBytes || estimateBytes(record) <= maxBytes;
    }

    private static long mostBytes(ProducerRecord<byte[], byte[]> record) {
        long size = BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES + VARINT_MOST_BYTES + most(record.key()) + most(record.value());
        for (Header header : record.headers()) {
            size += VARINT_MOST_BYTES + (long) CHARACTER_MOST_BYTES * header.key().length() + most(header.value());
        }
        return size;
    }

    private static long most(byte[] bytes) {
        return VARINT_MOST_BYTES + (bytes == null ? 0 : bytes.length);
    }

    static int estimateBytes(ProducerRecord<byte[], byte[]> record) {
        int size = BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES + sized(record.key()) + sized(record.value());
        int count = 0;
        for (Header header : record.headers()) {
            int name = Utils.utf8Length(header.key());
            size += ByteUtils.sizeOfVarint(name) + name + sized(header.value());
            count++;
        }
        return size + ByteUtils.sizeOfVarint(count);
    }

    private static int sized(byte[] bytes) {
        return bytes == null ? 1 : ByteUtils.sizeOfVarint(bytes.length) + bytes.length;
    }
}
