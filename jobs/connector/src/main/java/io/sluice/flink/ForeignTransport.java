package io.sluice.flink;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.sluice.flink.ResponseDecoder.GarbledException;
import io.sluice.protocol.GRPCInferenceServiceGrpc;
import io.sluice.protocol.ModelInferRequest;
import io.sluice.protocol.ModelInferRequest.InferInputTensor;
import io.sluice.protocol.ModelInferResponse;
import io.sluice.protocol.ModelReadyRequest;
import io.sluice.protocol.ModelReadyResponse;
import java.io.ByteArrayOutputStream;
import java.util.concurrent.TimeUnit;

/**
 * Plain v2: a unary {@code ModelInfer} per request. Its stream never breaks; each call succeeds, fails for good, or is to be tried again.
 *
 * <p>Servers that still load a model say so with codes of all kinds, those of a bad row among them. So a row that fails alone is sent once more
 * after {@code ModelReady} has said yes, and only what is said then is final.
 */
final class ForeignTransport implements Transport {

    private final Channels channels;
    private final String model;
    private final ForeignSettings settings;

    ForeignTransport(String target, String stage, String proxy, ForeignSettings settings) {
        channels = new Channels(target, "sluice-net-" + proxy, false);
        this.model = settings.model == null ? stage : settings.model;
        this.settings = settings;
    }

    @Override
    public Stream open(Listener listener) {
        return new Calls(listener);
    }

    @Override
    public void hurry() {
        channels.channel.resetConnectBackoff();
    }

    @Override
    public void close() {
        channels.close();
    }

    private final class Calls implements Stream {

        private final Listener listener;

        Calls(Listener listener) {
            this.listener = listener;
        }

        @Override
        public void start() {
            listener.ready(this);
        }

        @Override
        public boolean ready() {
            return true; // the window bounds what is sent
        }

        @Override
        public void cancel() {
            // the calls end with the channel
        }

        @Override
        public void send(Request request, Counters counters) {
            if (!settings.bytes() && !sameSize(request.rows)) {
                listener.answered(this, Response.error(request.id, "rows of different sizes for a tensor of " + settings.datatype));
                return;
            }
            // The request's rows are nulled as they are answered: what the answer needs of them is taken now.
            infer(new Answer(this, request, encode(request), request.rows.length, false));
        }

        private void infer(Answer answer) {
            ClientCalls.asyncUnaryCall(call(GRPCInferenceServiceGrpc.getModelInferMethod()), answer.message, answer);
        }

        private void askReady(Answer failed, Status status) {
            ModelReadyRequest message = ModelReadyRequest.newBuilder().setName(model).setVersion(settings.modelVersion).build();
            ClientCalls.asyncUnaryCall(call(GRPCInferenceServiceGrpc.getModelReadyMethod()), message, new Ready(failed, status));
        }

        private <Q, A> ClientCall<Q, A> call(MethodDescriptor<Q, A> method) {
            return channels.channel.newCall(method, CallOptions.DEFAULT.withDeadlineAfter(settings.timeoutMs, TimeUnit.MILLISECONDS));
        }
    }

    private static boolean sameSize(InFlightRow[] rows) {
        for (InFlightRow row : rows) {
            if (row.input.length != rows[0].input.length) {
                return false;
            }
        }
        return true;
    }

    private ModelInferRequest encode(Request request) {
        InferInputTensor.Builder tensor =
                InferInputTensor.newBuilder().setName(settings.input).setDatatype(settings.datatype).addShape(request.rows.length);
        for (long size : settings.rowShape) {
            tensor.addShape(size);
        }
        return ModelInferRequest.newBuilder()
                .setModelName(model)
                .setModelVersion(settings.modelVersion)
                .setId(request.id)
                .addInputs(tensor)
                .addRawInputContents(settings.bytes() ? RequestEncoder.rows(request.rows) : concatenated(request.rows))
                .build();
    }

    private static ByteString concatenated(InFlightRow[] rows) {
        ByteArrayOutputStream raw = new ByteArrayOutputStream(rows.length * rows[0].input.length);
        for (InFlightRow row : rows) {
            raw.writeBytes(row.input);
        }
        return UnsafeByteOperations.unsafeWrap(raw.toByteArray());
    }

    /** @param wasReady the model said that it is ready before this was sent */
    private record Answer(Calls calls, Request request, ModelInferRequest message, int rows, boolean wasReady)
            implements StreamObserver<ModelInferResponse> {

        @Override
        public void onNext(ModelInferResponse message) {
            Response response;
            try {
                response = decode(message);
            } catch (GarbledException e) {
                response = Response.error(request.id, "answer that cannot be read: " + e.getMessage());
            }
            calls.listener.answered(calls, response);
        }

        private Response decode(ModelInferResponse message) throws GarbledException {
            Response response = new Response();
            response.id = request.id;
            response.version = message.getModelVersion();
            response.variant = message.getModelName();
            response.computeUs = (System.nanoTime() - request.sentNanos) / 1000;
            response.results = FirstOutput.of(message, rows);
            response.rows = new int[rows];
            for (int i = 0; i < rows; i++) {
                response.rows[i] = i;
            }
            response.status = new byte[rows];
            response.queueUs = new int[rows];
            return response;
        }

        @Override
        public void onError(Throwable cause) {
            Status status = ((StatusRuntimeException) cause).getStatus();
            if (!ForeignError.isAboutRows(status)) {
                again();
            } else if (rows > 1 || wasReady) {
                failed(status);
            } else {
                calls.askReady(this, status);
            }
        }

        private void failed(Status status) {
            calls.listener.answered(calls, Response.error(request.id, ForeignError.text(status)));
        }

        private void again() {
            calls.listener.answered(calls, Response.retry(request.id));
        }

        @Override
        public void onCompleted() {}
    }

    /** What the model says of itself after a row failed. */
    private record Ready(Answer answer, Status status) implements StreamObserver<ModelReadyResponse> {

        @Override
        public void onNext(ModelReadyResponse message) {
            if (message.getReady()) {
                answer.calls.infer(new Answer(answer.calls, answer.request, answer.message, answer.rows, true));
            } else {
                answer.again();
            }
        }

        @Override
        public void onError(Throwable cause) {
            if (((StatusRuntimeException) cause).getStatus().getCode() == Status.Code.UNIMPLEMENTED) {
                answer.failed(status);
            } else {
                answer.again();
            }
        }

        @Override
        public void onCompleted() {}
    }
}
