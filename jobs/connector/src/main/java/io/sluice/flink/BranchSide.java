package io.sluice.flink;

import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.util.Collector;

/** One way out of a branch: the events that met its condition, or those that did not; the mark of {@link RowToEvent} comes off. */
public final class BranchSide implements FlatMapFunction<Event, Event> {

    private static final long serialVersionUID = 1L;

    private final boolean met;

    public BranchSide(boolean met) {
        this.met = met;
    }

    @Override
    public void flatMap(Event event, Collector<Event> out) {
        if (event.skipped() != met) {
            out.collect(event.withSkip(false));
        }
    }
}
