package io.sluice.flink;

import java.util.ArrayList;
import java.util.List;

/** The rows a proxy has in flight, in the order they came. Touched by the task's thread only. */
final class InFlightTable {

    private InFlightRow first;
    private InFlightRow last;

    void add(InFlightRow row) {
        row.previous = last;
        if (last == null) {
            first = row;
        } else {
            last.next = row;
        }
        last = row;
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
    }

    List<Event> events() {
        List<Event> events = new ArrayList<>();
        for (InFlightRow row = first; row != null; row = row.next) {
            events.add(row.event);
        }
        return events;
    }
}
