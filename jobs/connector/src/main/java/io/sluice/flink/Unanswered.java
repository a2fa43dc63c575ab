package io.sluice.flink;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The requests that have been sent and not wholly answered, oldest to newest. */
final class Unanswered {

    private final Map<String, Request> requests = new LinkedHashMap<>();
    private long lastNumber;
    private int rows;

    int rows() {
        return rows;
    }

    Request get(String id) {
        return requests.get(id);
    }

    /** The one there is; null when there are none or several. */
    Request only() {
        return requests.size() == 1 ? requests.values().iterator().next() : null;
    }

    /** Null when there is none. */
    Request oldest() {
        return requests.isEmpty() ? null : requests.values().iterator().next();
    }

    Request add(InFlightRow[] sent, long nowNanos) {
        Request request = new Request(Long.toString(++lastNumber), sent, nowNanos);
        requests.put(request.id, request);
        rows += sent.length;
        return request;
    }

    /** Takes the named rows out of a request; null in the place of one that is not there or has been answered. */
    InFlightRow[] settle(Request request, int[] indexes) {
        InFlightRow[] settled = new InFlightRow[indexes.length];
        for (int i = 0; i < indexes.length; i++) {
            int index = indexes[i];
            if (index >= 0 && index < request.rows.length && request.rows[index] != null) {
                settled[i] = request.rows[index];
                request.rows[index] = null;
                request.unanswered--;
                rows--;
            }
        }
        if (request.unanswered == 0) {
            requests.remove(request.id);
        }
        return settled;
    }

    void remove(Request request) {
        requests.remove(request.id);
        rows -= request.unanswered;
    }

    /** Takes all of them out. */
    List<Request> drainNewestFirst() {
        List<Request> drained = new ArrayList<>(requests.values());
        Collections.reverse(drained);
        requests.clear();
        rows = 0;
        return drained;
    }
}
