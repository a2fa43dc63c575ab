package io.sluice.flink;

import com.google.protobuf.ByteString;
import io.sluice.flink.ResponseDecoder.GarbledException;
import io.sluice.protocol.InferTensorContents;
import io.sluice.protocol.ModelInferResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The first output of a plain v2 answer, cut into rows: BYTES elements, or tensors of one size laid end to end. */
final class FirstOutput {

    private FirstOutput() {}

    static byte[][] of(ModelInferResponse message, int rows) throws GarbledException {
        if (message.getOutputsCount() == 0) {
            throw new GarbledException("no outputs");
        }
        ModelInferResponse.InferOutputTensor output = message.getOutputs(0);
        boolean raw = message.getRawOutputContentsCount() > 0;
        byte[][] results;
        if (output.getDatatype().equals("BYTES")) {
            results = raw ? ResponseDecoder.bytes(message.getRawOutputContents(0)) : elements(output.getContents());
        } else {
            results = cut(raw ? message.getRawOutputContents(0) : ByteString.copyFrom(packed(output.getContents(), output.getDatatype())), rows);
        }
        if (results.length != rows) {
            throw new GarbledException(results.length + " results for " + rows + " rows");
        }
        return results;
    }

    private static byte[][] elements(InferTensorContents contents) {
        return contents.getBytesContentsList().stream().map(ByteString::toByteArray).toArray(byte[][]::new);
    }

    private static byte[][] cut(ByteString raw, int rows) throws GarbledException {
        if (raw.size() % rows != 0) {
            throw new GarbledException(raw.size() + " bytes do not divide into " + rows + " rows");
        }
        int size = raw.size() / rows;
        byte[][] results = new byte[rows][];
        for (int i = 0; i < rows; i++) {
            results[i] = raw.substring(i * size, (i + 1) * size).toByteArray();
        }
        return results;
    }

    /** Typed contents in the layout that raw contents have. */
    private static ByteBuffer packed(InferTensorContents contents, String datatype) throws GarbledException {
        ByteBuffer packed = ByteBuffer.allocate(contents.getSerializedSize() * 8 + 8).order(ByteOrder.LITTLE_ENDIAN);
        switch (datatype) {
            case "FP32" -> contents.getFp32ContentsList().forEach(packed::putFloat);
            case "FP64" -> contents.getFp64ContentsList().forEach(packed::putDouble);
            case "INT64" -> contents.getInt64ContentsList().forEach(packed::putLong);
            case "UINT64" -> contents.getUint64ContentsList().forEach(packed::putLong);
            case "INT32" -> contents.getIntContentsList().forEach(packed::putInt);
            case "UINT32" -> contents.getUintContentsList().forEach(packed::putInt);
            case "INT16" -> contents.getIntContentsList().forEach(n -> packed.putShort(n.shortValue()));
            case "UINT16" -> contents.getUintContentsList().forEach(n -> packed.putShort(n.shortValue()));
            case "INT8" -> contents.getIntContentsList().forEach(n -> packed.put(n.byteValue()));
            case "UINT8" -> contents.getUintContentsList().forEach(n -> packed.put(n.byteValue()));
            case "BOOL" -> contents.getBoolContentsList().forEach(b -> packed.put((byte) (b ? 1 : 0)));
            default -> throw new GarbledException("an output of " + datatype + " without raw contents");
        }
        return packed.flip();
    }
}
