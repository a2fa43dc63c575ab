package io.sluice.flink;

import com.google.protobuf.ByteString;
import io.sluice.protocol.InferParameter;
import io.sluice.protocol.ModelInferResponse;
import io.sluice.protocol.ModelStreamInferResponse;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Messages of the protocol as {@link Response}s. A message that does not hold what it says is garbled: {@link GarbledException}. */
final class ResponseDecoder {

    private ResponseDecoder() {}

    static Response decode(ModelStreamInferResponse message) throws GarbledException {
        ModelInferResponse answer = message.getInferResponse();
        if (!message.getErrorMessage().isEmpty()) {
            return Response.error(answer.getId(), message.getErrorMessage());
        }
        Response response = new Response();
        response.id = answer.getId();
        parameters(answer.getParametersMap(), response);
        if (answer.getRawOutputContentsCount() < answer.getOutputsCount()) {
            throw new GarbledException(answer.getOutputsCount() + " outputs, " + answer.getRawOutputContentsCount() + " raw contents");
        }
        for (int i = 0; i < answer.getOutputsCount(); i++) {
            output(answer.getOutputs(i).getName(), answer.getRawOutputContents(i), response);
        }
        String flaw = response.flaw();
        if (flaw != null) {
            throw new GarbledException(flaw, response);
        }
        return response;
    }

    private static void parameters(Map<String, InferParameter> parameters, Response response) {
        parameters.forEach((name, parameter) -> {
            switch (name) {
                case "variant" -> response.variant = parameter.getStringParam();
                case "version" -> response.version = parameter.getStringParam();
                case "compute_us" -> response.computeUs = parameter.getInt64Param();
                case "window" -> response.window = whole(parameter);
                case "batch" -> response.batch = whole(parameter);
                case "back_off_ms" -> response.backOffMs = whole(parameter);
                case "triton_final_response" -> response.last = parameter.getBoolParam();
                default -> { }
            }
        });
    }

    private static int whole(InferParameter parameter) {
        return (int) Math.max(0, Math.min(parameter.getInt64Param(), Integer.MAX_VALUE));
    }

    private static void output(String name, ByteString raw, Response response) throws GarbledException {
        switch (name) {
            case "row" -> response.rows = ints(raw);
            case "status" -> response.status = raw.toByteArray();
            case "queue_us" -> response.queueUs = ints(raw);
            case "children" -> response.children = ints(raw);
            case "rows" -> response.results = bytes(raw);
            case "reason" -> response.reasons = texts(bytes(raw));
            default -> { }
        }
    }

    private static int[] ints(ByteString raw) throws GarbledException {
        if (raw.size() % 4 != 0) {
            throw new GarbledException(raw.size() + " bytes of INT32");
        }
        int[] numbers = new int[raw.size() / 4];
        raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(numbers);
        return numbers;
    }

    /** Reads a BYTES tensor: each element after its length. */
    static byte[][] bytes(ByteString raw) throws GarbledException {
        ByteBuffer buffer = raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> elements = new ArrayList<>();
        try {
            while (buffer.hasRemaining()) {
                int length = buffer.getInt();
                if (length < 0 || length > buffer.remaining()) {
                    throw new GarbledException("an element of " + length + " bytes where " + buffer.remaining() + " are left");
                }
                byte[] element = length == 0 ? Bytes.EMPTY : new byte[length];
                buffer.get(element);
                elements.add(element);
            }
        } catch (BufferUnderflowException e) {
            throw new GarbledException("a length cut short");
        }
        return elements.toArray(Response.NO_RESULTS);
    }

    private static String[] texts(byte[][] elements) {
        String[] texts = new String[elements.length];
        for (int i = 0; i < texts.length; i++) {
            texts[i] = new String(elements[i], StandardCharsets.UTF_8);
        }
        return texts;
    }

    /** The message makes no sense; where its frame does, {@code frame} holds id, control fields and whether it is the last. */
    static final class GarbledException extends Exception {
        private static final long serialVersionUID = 1L;
        final transient Response frame;

        GarbledException(String message) {
            this(message, null);
        }

        GarbledException(String message, Response frame) {
            super(message, null, false, false);
            this.frame = frame;
        }
    }
}
