package io.sluice.flink;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.sluice.flink.ResponseDecoder.GarbledException;
import io.sluice.protocol.GRPCInferenceServiceGrpc;
import io.sluice.protocol.ModelInferRequest;
import io.sluice.protocol.ModelStreamInferResponse;

/** {@code ModelStreamInfer}: one bidirectional stream, requests and responses matched by id. */
final class GrpcTransport implements Transport {

    private static final int BUFFERED_BYTES = 1 << 20;
    private static final int PREFETCHED_RESPONSES = 64;

    private final Channels channels;
    private final RequestEncoder encoder;

    GrpcTransport(ProxySettings settings, String proxy) {
        channels = new Channels(settings.target, "sluice-net-" + proxy, true);
        encoder = new RequestEncoder(settings.stage, proxy, settings.sameModel);
    }

    @Override
    public Stream open(Listener listener) {
        ClientCall<ModelInferRequest, ModelStreamInferResponse> call = channels.channel.newCall(
                GRPCInferenceServiceGrpc.getModelStreamInferMethod(),
                CallOptions.DEFAULT.withWaitForReady().withOnReadyThreshold(BUFFERED_BYTES));
        return new GrpcStream(call, listener);
    }

    @Override
    public void hurry() {
        channels.channel.resetConnectBackoff();
    }

    @Override
    public void close() {
        channels.close();
    }

    private final class GrpcStream extends ClientCall.Listener<ModelStreamInferResponse> implements Stream {

        private final ClientCall<ModelInferRequest, ModelStreamInferResponse> call;
        private final Listener listener;

        GrpcStream(ClientCall<ModelInferRequest, ModelStreamInferResponse> call, Listener listener) {
            this.call = call;
            this.listener = listener;
        }

        @Override
        public void start() {
            call.start(this, new Metadata());
            call.request(PREFETCHED_RESPONSES);
        }

        @Override
        public boolean ready() {
            return call.isReady();
        }

        @Override
        public void send(Request request, Counters counters) {
            ModelInferRequest message = encoder.encode(request, counters);
            try {
                call.sendMessage(message);
            } catch (IllegalStateException e) { // cancelled meanwhile
                listener.broken(this, e.getMessage());
            }
        }

        @Override
        public void cancel() {
            call.cancel("the proxy closed the stream", null);
        }

        @Override
        public void onReady() {
            listener.ready(this);
        }

        @Override
        public void onMessage(ModelStreamInferResponse message) {
            call.request(1);
            try {
                listener.answered(this, ResponseDecoder.decode(message));
            } catch (GarbledException e) {
                listener.garbled(this, e);
            }
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            listener.broken(this, status.isOk() ? "the service ended the stream" : status.toString());
        }
    }
}
