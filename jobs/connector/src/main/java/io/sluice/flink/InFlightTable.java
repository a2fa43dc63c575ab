package io.sluice.flink;

import java.util.ArrayList;
import java.util.List;

/** The rows a proxy has in flight, in the order they came. Touched by the task's thread only; the counts may be read by any. */
final class InFlightTable {

    private InFlightRow first;
    private InFlightRow last;
    private volatile int rows;
    private volatile long bytes;

    int rows() {
        return rows;
    }

    long bytes() {
        return bytes;
    }

    void add(InFlightRow row) {
        row.previous = last;
        if (last == null) {
            first = row;
        } else {
            last.next = row;
        }
        last = row;
        rows = rows + 1;
        bytes = bytes + row.sizeBytes;
    }

    void remove(InFlightRow row) {
        if (row.previous == null) {
            first = row.next;
        } else {
            row.previous.next = row.next;
        }
        if (row.next == null) {
            last = row.previous;
        } else {
            row.next.previous = row.previous;
        }
        row.previous = null;
        row.next = null;
        rows = rows - 1;
        bytes = bytes - row.sizeBytes;
    }

    List<Event> events() {
        List<Event> events = new ArrayList<>(rows);
        for (InFlightRow row = first; row != null; row = row.next) {
            events.add(row.event);
        }
        return events;
    }
}
