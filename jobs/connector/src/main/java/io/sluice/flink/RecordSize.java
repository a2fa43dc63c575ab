package io.sluice.flink;

import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.utils.ByteUtils;
import org.apache.kafka.common.utils.Utils;

/** The size that the Kafka producer holds against {@code max.request.size}: the record alone in a batch, at most. */
final class RecordSize {

    private static final int BATCH_OVERHEAD_BYTES = 61;
    private static final int RECORD_OVERHEAD_BYTES = 21;

    private RecordSize() {}

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
