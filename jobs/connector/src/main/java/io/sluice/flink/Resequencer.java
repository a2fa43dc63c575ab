package io.sluice.flink;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.typeutils.ListTypeInfo;
import org.apache.flink.metrics.Counter;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Puts the events of a partition back into the order of their {@link SequenceStamp}; early ones wait in state.
 *
 * <p>The children of one event count as one: they go out in order of their indexes once all have come. Failed events take their turn like others.
 */
public final class Resequencer extends KeyedProcessFunction<String, Event, Event> {

    private static final long serialVersionUID = 1L;

    private transient ValueState<Long> next;
    private transient MapState<Long, List<Event>> early;
    private transient Counter repeated;

    /** Events of one partition, however many keys it has, are ordered together. */
    public static final class Partition implements KeySelector<Event, String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String getKey(Event event) {
            return event.origin.topic() + '/' + event.origin.partition();
        }
    }

    @Override
    public void open(OpenContext context) {
        next = getRuntimeContext().getState(new ValueStateDescriptor<>("next", Types.LONG));
        early = getRuntimeContext()
                .getMapState(new MapStateDescriptor<>("early", Types.LONG, new ListTypeInfo<>(EventTypeInfo.INSTANCE)));
        repeated = getRuntimeContext().getMetricGroup().counter("repeatedSequences");
    }

    @Override
    public void processElement(Event event, Context context, Collector<Event> out) throws Exception {
        if (event.sequence == Event.NO_SEQUENCE) {
            out.collect(event);
            return;
        }
        Long expected = next.value();
        long current = expected == null ? 0 : expected;
        if (event.sequence < current) {
            repeated.inc();
            out.collect(event); // its turn is over; better out of order than lost
            return;
        }
        boolean whole = Frames.depth(event.frames) == 0;
        if (event.sequence == current && whole) {
            out.collect(event);
            current++;
        } else {
            store(event, whole);
            if (event.sequence != current) {
                return;
            }
        }
        long after = release(current, out);
        if (expected == null || after != expected) {
            next.update(after);
        }
    }

    private void store(Event event, boolean whole) throws Exception {
        List<Event> family = whole ? null : early.get(event.sequence);
        List<Event> more = family == null ? new ArrayList<>(1) : new ArrayList<>(family);
        more.add(event);
        early.put(event.sequence, more);
    }

    private long release(long from, Collector<Event> out) throws Exception {
        long current = from;
        List<Event> family;
        while ((family = early.get(current)) != null && Family.complete(family)) {
            Family.inOrder(family).forEach(out::collect);
            early.remove(current);
            current++;
        }
        return current;
    }
}
