package io.sluice.flink;

import java.util.ArrayDeque;

/**
 * The rows that wait to be sent, and the rule that says when they go. Reads no clock and waits for nothing: time is an argument, in ns.
 *
 * <p>Rows go at once when nothing is unanswered; else when a batch is full in rows or bytes, or its first row has waited long enough; never more than
 * the window allows, and not in dribbles when it is nearly used up. While the service has many rows before it, the next would wait there anyway: they
 * gather for longer into fewer and larger requests, which cost both sides less. Rows of a request that failed go first, in the groups they were split
 * into.
 */
final class SendQueue {

    static final long NEVER = Long.MAX_VALUE;
    /** So many unanswered rows keep the service at work while more gather. */
    static final int PLENTY_ROWS = 512;
    /** Times as many rows and as long a wait while there are plenty. */
    private static final int PATIENCE = 4;

    private final int maxRows;
    private final int maxBytes;
    private final long lingerNanos;
    private final ArrayDeque<InFlightRow> rows = new ArrayDeque<>();
    private final ArrayDeque<InFlightRow[]> groups = new ArrayDeque<>();
    private int groupRows;
    private long rowBytes;
    private long firstNanos;
    private int batchHint;

    SendQueue(int maxRows, int maxBytes, long lingerNanos) {
        this.maxRows = maxRows;
        this.maxBytes = maxBytes;
        this.lingerNanos = lingerNanos;
        this.batchHint = maxRows;
    }

    int size() {
        return rows.size() + groupRows;
    }

    /** Rows worth gathering, as the service sees it; never more than the settings say. */
    void hint(int batchRows) {
        batchHint = Math.max(1, Math.min(batchRows, maxRows));
    }

    boolean full(int unanswered) {
        return rows.size() >= Math.min(maxRows, batchHint * patience(unanswered)) || rowBytes >= maxBytes;
    }

    private static int patience(int unanswered) {
        return unanswered < PLENTY_ROWS ? 1 : PATIENCE;
    }

    void add(InFlightRow row, long nowNanos) {
        if (rows.isEmpty()) {
            firstNanos = nowNanos;
        }
        rows.addLast(row);
        rowBytes += row.input.length;
    }

    /** Puts rows back where they came from: before all others. */
    void putBack(InFlightRow[] again, long nowNanos) {
        for (int i = again.length - 1; i >= 0; i--) {
            rows.addFirst(again[i]);
            rowBytes += again[i].input.length;
        }
        firstNanos = nowNanos;
    }

    /** Rows that must go together and alone. */
    void addGroup(InFlightRow[] group) {
        groups.addLast(group);
        groupRows += group.length;
    }

    /** When rows become due, given that nothing else happens. */
    long dueNanos(int unanswered, int window, long nowNanos) {
        int room = window - unanswered;
        if (size() == 0 || room <= 0) {
            return NEVER;
        }
        if (unanswered == 0 || !groups.isEmpty()) {
            return nowNanos;
        }
        if (room < Math.min(rows.size(), worthSending(window))) {
            return NEVER; // else each small answer would let out an equally small request, for ever
        }
        return full(unanswered) ? nowNanos : firstNanos + lingerNanos * patience(unanswered);
    }

    /** While the window is nearly used up, room for fewer rows than this is not taken: the next answers make more. */
    private int worthSending(int window) {
        return Math.min(maxRows, Math.max(1, window / 4));
    }

    /** Takes what goes into the next request, at most {@code allowed} rows. Only when {@link #dueNanos} says so. */
    InFlightRow[] take(int allowed, long nowNanos) {
        return groups.isEmpty() ? takeRows(allowed, nowNanos) : takeGroup(allowed);
    }

    private InFlightRow[] takeRows(int allowed, long nowNanos) {
        int limit = Math.min(Math.min(allowed, maxRows), rows.size());
        InFlightRow[] batch = new InFlightRow[limit];
        long bytes = 0;
        int size = 0;
        while (size < limit && (size == 0 || bytes + rows.peekFirst().input.length <= maxBytes)) {
            batch[size] = rows.pollFirst();
            bytes += batch[size++].input.length;
        }
        rowBytes -= bytes;
        firstNanos = nowNanos;
        return size == limit ? batch : java.util.Arrays.copyOf(batch, size);
    }

    private InFlightRow[] takeGroup(int allowed) {
        InFlightRow[] group = groups.pollFirst();
        if (group.length > allowed) {
            groups.addFirst(java.util.Arrays.copyOfRange(group, allowed, group.length));
            group = java.util.Arrays.copyOf(group, allowed);
        }
        groupRows -= group.length;
        return group;
    }
}
