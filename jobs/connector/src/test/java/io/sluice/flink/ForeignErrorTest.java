package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ForeignErrorTest {

    @ParameterizedTest
    @EnumSource(value = Status.Code.class, names = {"INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "NOT_FOUND", "FAILED_PRECONDITION"})
    void whatTheEndpointSaidIsAboutTheRows(Status.Code code) {
        assertTrue(ForeignError.isAboutRows(code.toStatus().withDescription("row 3 is wrong")));
    }

    @ParameterizedTest
    @EnumSource(value = Status.Code.class, names = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"})
    void anEndpointThatCannotBeAskedNowSaysNothingAboutTheRows(Status.Code code) {
        assertFalse(ForeignError.isAboutRows(code.toStatus()));
    }

    @Test
    void aConnectionThatBreaksUnderTheCallSaysNothingAboutTheRows() {
        assertFalse(ForeignError.isAboutRows(Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException())));
        assertFalse(ForeignError.isAboutRows(Status.INTERNAL.withCause(new RuntimeException(new IOException("connection reset")))));
    }

    @Test
    void anAnswerThatCannotBeReadIsAboutTheRows() {
        assertTrue(ForeignError.isAboutRows(Status.INTERNAL.withCause(new RuntimeException(new InvalidProtocolBufferException("garbled")))));
    }

    @Test
    void theTextHasNoStackTrace() {
        assertEquals("UNKNOWN: channel closed", ForeignError.text(Status.UNKNOWN.withDescription("channel closed").withCause(new IOException())));
        assertEquals("INTERNAL", ForeignError.text(Status.INTERNAL));
    }
}
