package io.sluice.flink;

/** Why an event goes to the dead letters: the stage where, the reason (a short word), the detail (free text). */
public record Failure(String stage, String reason, String detail) {

    static final String BAD_HEADER = "bad-header";
    static final String BAD_INPUT = "bad-input";
    static final String OPERATOR_ERROR = "operator-error";
    static final String EXPIRED = "expired";
    static final String TOO_LARGE = "too-large";
    static final String JOIN_TIMEOUT = "join-timeout";
    static final String CHILD_FAILED = "child-failed";

    private static final int REASON_MAX_LENGTH = 64;

    public Failure {
        detail = detail == null ? "" : detail;
    }

    /** Reads {@code reason: detail}; a text without that form is the detail of an operator error. */
    static Failure parse(String stage, String text) {
        int colon = text.indexOf(": ");
        if (colon > 0 && isReason(text, colon)) {
            return new Failure(stage, text.substring(0, colon), text.substring(colon + 2));
        }
        if (!text.isEmpty() && isReason(text, text.length())) {
            return new Failure(stage, text, "");
        }
        return new Failure(stage, OPERATOR_ERROR, text);
    }

    private static boolean isReason(String text, int end) {
        if (end > REASON_MAX_LENGTH) {
            return false;
        }
        for (int i = 0; i < end; i++) {
            char c = text.charAt(i);
            if (!(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')) {
                return false;
            }
        }
        return true;
    }
}
