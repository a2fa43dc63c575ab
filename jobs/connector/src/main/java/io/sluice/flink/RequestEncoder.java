package io.sluice.flink;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.sluice.protocol.InferParameter;
import io.sluice.protocol.ModelInferRequest;
import io.sluice.protocol.ModelInferRequest.InferInputTensor;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Micro-batches as messages of the protocol; each row is copied once. */
final class RequestEncoder {

    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle FLOAT = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

    private final String stage;
    private final InferParameter proxy;

    RequestEncoder(String stage, String proxy) {
        this.stage = stage;
        this.proxy = InferParameter.newBuilder().setStringParam(proxy).build();
    }

    ModelInferRequest encode(Request request, Transport.Counters counters) {
        InFlightRow[] rows = request.rows;
        ModelInferRequest.Builder message = ModelInferRequest.newBuilder()
                .setModelName(stage)
                .setId(request.id)
                .putParameters("proxy", proxy)
                .putParameters("received", number(counters.received()))
                .putParameters("in_flight", number(counters.inFlight()))
                .putParameters("waiting", number(counters.waiting()));
        add(message, "rows", "BYTES", rows.length, rows(rows));
        add(message, "deadline_ms", "INT64", rows.length, deadlines(rows));
        boolean accuracy = false;
        boolean keep = false;
        for (InFlightRow row : rows) {
            accuracy |= row.event.origin.minAccuracy() >= 0;
            keep |= row.mustBeAnswered();
        }
        if (accuracy) {
            add(message, "min_accuracy", "FP32", rows.length, accuracies(rows));
        }
        if (keep) {
            add(message, "keep", "BOOL", rows.length, keeps(rows));
        }
        return message.build();
    }

    static void add(ModelInferRequest.Builder message, String name, String datatype, long rows, ByteString raw) {
        message.addInputs(InferInputTensor.newBuilder().setName(name).setDatatype(datatype).addShape(rows));
        message.addRawInputContents(raw);
    }

    /** A BYTES tensor: each row after its length. */
    static ByteString rows(InFlightRow[] rows) {
        int size = 0;
        for (InFlightRow row : rows) {
            size = Math.addExact(size, 4 + row.input.length);
        }
        byte[] raw = new byte[size];
        int at = 0;
        for (InFlightRow row : rows) {
            INT.set(raw, at, row.input.length);
            System.arraycopy(row.input, 0, raw, at + 4, row.input.length);
            at += 4 + row.input.length;
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private static ByteString deadlines(InFlightRow[] rows) {
        byte[] raw = new byte[rows.length * 8];
        for (int i = 0; i < rows.length; i++) {
            LONG.set(raw, i * 8, rows[i].event.origin.deadlineMs());
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private static ByteString accuracies(InFlightRow[] rows) {
        byte[] raw = new byte[rows.length * 4];
        for (int i = 0; i < rows.length; i++) {
            FLOAT.set(raw, i * 4, rows[i].event.origin.minAccuracy());
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private static ByteString keeps(InFlightRow[] rows) {
        byte[] raw = new byte[rows.length];
        for (int i = 0; i < rows.length; i++) {
            raw[i] = (byte) (rows[i].mustBeAnswered() ? 1 : 0);
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private static InferParameter number(long number) {
        return InferParameter.newBuilder().setInt64Param(number).build();
    }
}
