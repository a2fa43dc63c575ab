package io.sluice.flink;

import com.google.protobuf.ByteString;
import io.sluice.protocol.InferParameter;
import io.sluice.protocol.ModelInferResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A response in the making. */
final class Answer {

    private final ModelInferResponse.Builder message;
    private final List<Integer> rows = new ArrayList<>();
    private final List<Integer> status = new ArrayList<>();
    private final List<Integer> children = new ArrayList<>();
    private final List<byte[]> results = new ArrayList<>();
    private final List<byte[]> reasons = new ArrayList<>();
    private boolean fansOut;

    Answer(String id) {
        message = ModelInferResponse.newBuilder().setId(id);
        text("variant", "cnn").text("version", "1").number("compute_us", 4210);
    }

    Answer row(int index, int rowStatus, String... resultsOrReason) {
        rows.add(index);
        status.add(rowStatus);
        List<byte[]> target = rowStatus <= 1 ? results : reasons;
        Arrays.stream(resultsOrReason).map(Events::utf8).forEach(target::add);
        children.add(rowStatus <= 1 ? resultsOrReason.length : 0);
        return this;
    }

    Answer result(int index, byte[] result) {
        rows.add(index);
        status.add(0);
        results.add(result);
        children.add(1);
        return this;
    }

    Answer fansOut() {
        fansOut = true;
        return this;
    }

    Answer number(String name, long number) {
        message.putParameters(name, InferParameter.newBuilder().setInt64Param(number).build());
        return this;
    }

    Answer last() {
        message.putParameters("triton_final_response", InferParameter.newBuilder().setBoolParam(true).build());
        return this;
    }

    private Answer text(String name, String text) {
        message.putParameters(name, InferParameter.newBuilder().setStringParam(text).build());
        return this;
    }

    ModelInferResponse build() {
        output("row", ints(rows));
        byte[] codes = new byte[status.size()];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = status.get(i).byteValue();
        }
        output("status", ByteString.copyFrom(codes));
        output("queue_us", ints(rows.stream().map(row -> 812).toList()));
        output("rows", TestService.bytes(results));
        output("reason", TestService.bytes(reasons));
        if (fansOut) {
            output("children", ints(children));
        }
        return message.build();
    }

    private void output(String name, ByteString raw) {
        message.addOutputs(ModelInferResponse.InferOutputTensor.newBuilder().setName(name)).addRawOutputContents(raw);
    }

    private static ByteString ints(List<Integer> numbers) {
        ByteBuffer buffer = ByteBuffer.allocate(numbers.size() * 4).order(ByteOrder.LITTLE_ENDIAN);
        numbers.forEach(buffer::putInt);
        return ByteString.copyFrom(buffer.flip());
    }
}
