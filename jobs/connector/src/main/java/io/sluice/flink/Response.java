package io.sluice.flink;

/** What a service said in one message, decoded; filled by a transport, read by the sender and the operator. */
final class Response {

    static final byte OK = 0;
    static final byte LATE = 1;
    static final byte FAILED = 2;
    static final byte EXPIRED = 3;
    static final int UNSAID = -1;

    static final int[] NO_INTS = {};
    static final byte[][] NO_RESULTS = {};
    static final String[] NO_REASONS = {};

    String id = "";
    /** The whole request failed with this message; null if not. */
    String error;
    /** The whole request was not taken, and may be sent again later. */
    boolean retry;
    /** Nothing more comes for this request. */
    boolean last;

    int[] rows = NO_INTS;
    byte[] status = Bytes.EMPTY;
    int[] queueUs = NO_INTS;
    byte[][] results = NO_RESULTS;
    int[] children;
    String[] reasons = NO_REASONS;

    String variant = "";
    String version = "";
    long computeUs;
    int window = UNSAID;
    int batch = UNSAID;
    int backOffMs = UNSAID;

    static Response error(String id, String message) {
        Response response = new Response();
        response.id = id;
        response.error = message;
        return response;
    }

    static Response retry(String id) {
        Response response = new Response();
        response.id = id;
        response.retry = true;
        return response;
    }

    /** What is wrong with the counts of its parts; null if nothing is. */
    String flaw() {
        int n = rows.length;
        if (status.length != n || queueUs.length != n || (children != null && children.length != n)) {
            return n + " rows, " + status.length + " status, " + queueUs.length + " queue_us";
        }
        long wanted = 0;
        int reasonsWanted = 0;
        for (int i = 0; i < n; i++) {
            if (status[i] == OK || status[i] == LATE) {
                int made = children == null ? 1 : children[i];
                if (made < 0) {
                    return made + " children";
                }
                wanted += made;
            } else if (status[i] == FAILED || status[i] == EXPIRED) {
                reasonsWanted++;
            } else {
                return "status " + status[i];
            }
        }
        if (wanted != results.length) {
            return results.length + " results where " + wanted + " belong";
        }
        return reasonsWanted == reasons.length ? null : reasons.length + " reasons where " + reasonsWanted + " belong";
    }
}
