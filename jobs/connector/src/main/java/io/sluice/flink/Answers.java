package io.sluice.flink;

/** Rows and what was answered to them, on the way from a transport's thread to the task's; remembers how far it has been emitted. */
final class Answers {

    final InFlightRow[] rows;
    final Response response;
    final long roundTripNanos;
    private int next;
    private int nextResult;
    private int nextReason;

    Answers(InFlightRow[] rows, Response response, long roundTripNanos) {
        this.rows = rows;
        this.response = response;
        this.roundTripNanos = roundTripNanos;
    }

    /** One row that failed before any service answered. */
    static Answers failed(InFlightRow row, byte status, String reason) {
        Response response = new Response();
        response.rows = new int[1];
        response.status = new byte[] {status};
        response.queueUs = new int[1];
        response.reasons = new String[] {reason};
        return new Answers(new InFlightRow[] {row}, response, -1);
    }

    boolean done() {
        return next == rows.length;
    }

    boolean untouched() {
        return next == 0;
    }

    int index() {
        return next;
    }

    byte[] takeResult() {
        return response.results[nextResult++];
    }

    String takeReason() {
        return response.reasons[nextReason++];
    }

    InFlightRow row() {
        return rows[next];
    }

    void advance() {
        next++;
    }
}
