package io.sluice.flink;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.sluice.protocol.InferParameter;
import io.sluice.protocol.ModelInferRequest;
import io.sluice.protocol.ModelInferRequest.InferInputTensor;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.List;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/** Micro-batches as messages of the protocol; each row is copied once. */
final class RequestEncoder {

    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle FLOAT = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

    private final String stage;
    private final InferParameter proxy;
    private final List<String> sameModel;

    /** @param sameModel stages that run this one's model: the version that an event met there travels with it */
    RequestEncoder(String stage, String proxy, List<String> sameModel) {
        this.stage = stage;
        this.sameModel = List.copyOf(sameModel);
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
        boolean worth = false;
        for (InFlightRow row : rows) {
            worth |= row.event.origin.worth() != Origin.PLAIN_WORTH;
            accuracy |= row.event.origin.minAccuracy() >= 0;
            keep |= row.mustBeAnswered();
        }
        if (accuracy) {
            add(message, "min_accuracy", "FP32", rows.length, floats(rows, Origin::minAccuracy));
        }
        if (keep) {
            add(message, "keep", "BOOL", rows.length, keeps(rows));
        }
        if (worth) {
            add(message, "value", "FP32", rows.length, floats(rows, Origin::worth));
        }
        if (!sameModel.isEmpty() && anyMet(rows)) {
            add(message, "version", "BYTES", rows.length, bytes(rows, this::met));
        }
        return message.build();
    }

    static void add(ModelInferRequest.Builder message, String name, String datatype, long rows, ByteString raw) {
        message.addInputs(InferInputTensor.newBuilder().setName(name).setDatatype(datatype).addShape(rows));
        message.addRawInputContents(raw);
    }

    static ByteString rows(InFlightRow[] rows) {
        return bytes(rows, row -> row.input);
    }

    /** A BYTES tensor: each row's element after its length. */
    private static ByteString bytes(InFlightRow[] rows, Function<InFlightRow, byte[]> element) {
        int size = 0;
        for (InFlightRow row : rows) {
            size = Math.addExact(size, 4 + element.apply(row).length);
        }
        byte[] raw = new byte[size];
        int at = 0;
        for (InFlightRow row : rows) {
            byte[] value = element.apply(row);
            INT.set(raw, at, value.length);
            System.arraycopy(value, 0, raw, at + 4, value.length);
            at += 4 + value.length;
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private boolean anyMet(InFlightRow[] rows) {
        for (InFlightRow row : rows) {
            if (met(row).length > 0) {
                return true;
            }
        }
        return false;
    }

    /** The version that the row's event met last at a stage of this model; empty when it met none. */
    private byte[] met(InFlightRow row) {
        Trace[] traces = row.event.traces;
        for (int i = traces.length - 1; i >= 0; i--) {
            if (sameModel.contains(traces[i].label().stage)) {
                return traces[i].label().met;
            }
        }
        return Bytes.EMPTY;
    }

    private static ByteString deadlines(InFlightRow[] rows) {
        byte[] raw = new byte[rows.length * 8];
        for (int i = 0; i < rows.length; i++) {
            LONG.set(raw, i * 8, rows[i].event.origin.deadlineMs());
        }
        return UnsafeByteOperations.unsafeWrap(raw);
    }

    private static ByteString floats(InFlightRow[] rows, ToDoubleFunction<Origin> number) {
        byte[] raw = new byte[rows.length * 4];
        for (int i = 0; i < rows.length; i++) {
            FLOAT.set(raw, i * 4, (float) number.applyAsDouble(rows[i].event.origin));
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
