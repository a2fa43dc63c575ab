package io.sluice.flink;

import com.google.protobuf.ByteString;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.sluice.protocol.GRPCInferenceServiceGrpc;
import io.sluice.protocol.ModelInferRequest;
import io.sluice.protocol.ModelInferResponse;
import io.sluice.protocol.ModelReadyRequest;
import io.sluice.protocol.ModelReadyResponse;
import io.sluice.protocol.ModelStreamInferResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;

/** An operator service in the test's process that answers as its script says; it can go away and come back at the same port. */
final class TestService extends GRPCInferenceServiceGrpc.GRPCInferenceServiceImplBase implements AutoCloseable {

    /** A request and how to answer it. */
    record Call(ModelInferRequest message, StreamObserver<ModelStreamInferResponse> out) {

        List<String> rows() {
            return strings("rows");
        }

        List<byte[]> rowBytes() {
            return elements(message.getRawInputContents(0));
        }

        boolean has(String tensor) {
            return tensors().contains(tensor);
        }

        List<String> tensors() {
            return message.getInputsList().stream().map(ModelInferRequest.InferInputTensor::getName).toList();
        }

        /** The elements of a BYTES tensor. */
        List<String> strings(String tensor) {
            return TestService.strings(message.getRawInputContents(tensors().indexOf(tensor)));
        }

        List<Float> floats(String tensor) {
            ByteBuffer raw = message.getRawInputContents(tensors().indexOf(tensor)).asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
            List<Float> numbers = new ArrayList<>();
            while (raw.hasRemaining()) {
                numbers.add(raw.getFloat());
            }
            return numbers;
        }

        Answer answer() {
            return new Answer(message.getId());
        }

        void reply(Answer answer) {
            out.onNext(ModelStreamInferResponse.newBuilder().setInferResponse(answer.build()).build());
        }

        void error(String text) {
            out.onNext(ModelStreamInferResponse.newBuilder()
                    .setErrorMessage(text)
                    .setInferResponse(ModelInferResponse.newBuilder().setId(message.getId()))
                    .build());
        }

        /** Answers each row with {@code row!}. */
        void ok() {
            Answer answer = answer();
            List<String> rows = rows();
            for (int i = 0; i < rows.size(); i++) {
                answer.row(i, 0, rows.get(i) + "!");
            }
            reply(answer);
        }
    }

    final Queue<ModelInferRequest> requests = new ConcurrentLinkedQueue<>();
    /** Of plain v2: how often it will still say that its model is not ready. */
    final AtomicInteger loading = new AtomicInteger();

    private final BiConsumer<TestService, Call> script;
    private Server server;
    private int port;

    TestService(BiConsumer<TestService, Call> script) throws IOException {
        this.script = script;
        start();
        stop();
    }

    static TestService started(BiConsumer<TestService, Call> script) throws IOException {
        TestService service = new TestService(script);
        service.start();
        return service;
    }

    String target() {
        return "127.0.0.1:" + port;
    }

    synchronized void start() throws IOException {
        server = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", port)).addService(this).directExecutor().build().start();
        port = server.getPort();
    }

    synchronized void stop() {
        server.shutdownNow();
        try {
            server.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() {
        stop();
    }

    @Override
    public StreamObserver<ModelInferRequest> modelStreamInfer(StreamObserver<ModelStreamInferResponse> out) {
        return new StreamObserver<>() {
            @Override
            public void onNext(ModelInferRequest message) {
                requests.add(message);
                script.accept(TestService.this, new Call(message, out));
            }

            @Override
            public void onError(Throwable cause) {}

            @Override
            public void onCompleted() {
                out.onCompleted();
            }
        };
    }

    @Override
    public void modelReady(ModelReadyRequest message, StreamObserver<ModelReadyResponse> out) {
        out.onNext(ModelReadyResponse.newBuilder().setReady(loading.getAndUpdate(left -> Math.max(0, left - 1)) == 0).build());
        out.onCompleted();
    }

    /** Plain v2: a row {@code bad} fails the whole call, and while the model loads every call fails with the same code. */
    @Override
    public void modelInfer(ModelInferRequest message, StreamObserver<ModelInferResponse> out) {
        requests.add(message);
        if (loading.get() > 0) {
            out.onError(Status.INVALID_ARGUMENT.withDescription("the model is not ready yet").asRuntimeException());
            return;
        }
        List<String> rows = strings(message.getRawInputContents(0));
        if (rows.contains("bad")) {
            out.onError(Status.INVALID_ARGUMENT.withDescription("a bad row").asRuntimeException());
            return;
        }
        ByteString results = bytes(rows.stream().map(row -> Events.utf8(row + "?")).toList());
        out.onNext(ModelInferResponse.newBuilder()
                .setModelName("foreign")
                .setModelVersion("3")
                .addOutputs(ModelInferResponse.InferOutputTensor.newBuilder().setName("anything").setDatatype("BYTES").addShape(rows.size()))
                .addRawOutputContents(results)
                .build());
        out.onCompleted();
    }

    static List<String> strings(ByteString tensor) {
        return elements(tensor).stream().map(Events::text).toList();
    }

    static List<byte[]> elements(ByteString tensor) {
        ByteBuffer buffer = tensor.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> rows = new ArrayList<>();
        while (buffer.hasRemaining()) {
            byte[] row = new byte[buffer.getInt()];
            buffer.get(row);
            rows.add(row);
        }
        return rows;
    }

    static ByteString bytes(List<byte[]> elements) {
        int size = elements.stream().mapToInt(element -> 4 + element.length).sum();
        ByteBuffer tensor = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        elements.forEach(element -> tensor.putInt(element.length).put(element));
        return ByteString.copyFrom(tensor.flip());
    }
}
