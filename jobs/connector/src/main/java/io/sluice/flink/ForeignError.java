package io.sluice.flink;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import java.io.IOException;

/** What a failed call to a foreign endpoint says: something about its rows, or only that the endpoint cannot be asked now. */
final class ForeignError {

    private ForeignError() {}

    /** False when the same rows should be sent again: the endpoint is away, busy or slow, or the connection broke under the call. */
    static boolean isAboutRows(Status status) {
        return switch (status.getCode()) {
            case UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, CANCELLED -> false;
            default -> !brokeOnTheWay(status.getCause());
        };
    }

    static String text(Status status) {
        return status.getDescription() == null ? status.getCode().toString() : status.getCode() + ": " + status.getDescription();
    }

    /** A status that the endpoint sent has no cause here. A broken connection has one, and gRPC calls it UNKNOWN now and then. */
    private static boolean brokeOnTheWay(Throwable cause) {
        for (Throwable at = cause; at != null; at = at.getCause()) {
            if (at instanceof InvalidProtocolBufferException) {
                return false; // an answer that came whole and cannot be read
            }
            if (at instanceof IOException) {
                return true;
            }
        }
        return false;
    }
}
