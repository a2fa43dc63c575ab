package io.sluice.flink;

import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.metrics.Counter;
import org.apache.flink.streaming.api.TimerService;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Where the children of a fan-out meet and their parent goes on, once: with the last child, or at the horizon after the first.
 *
 * <p>After a horizon a tombstone stays for ten more, so that late children are counted and dropped. Events of other fan-outs or of none pass.
 *
 * <p>A restart gives every parent a new horizon: its missing children come again from the stages before, and only then. The backlog of an outage waits
 * for thirty horizons: it is late anyway, and its children may be far apart in the queues that it has filled.
 */
public final class JoinFunction extends KeyedProcessFunction<String, Event, Event> {

    private static final long serialVersionUID = 1L;
    private static final int TOMBSTONE_HORIZONS = 10;
    private static final int EXCUSED_HORIZONS = 30;
    private static final long NEVER = Long.MIN_VALUE;

    private final JoinSettings settings;
    private transient JoinedParent parents;
    private transient EventParts parts;
    private transient ValueState<Event> parent;
    private transient MapState<Integer, byte[]> children;
    /** Children still missing. */
    private transient ValueState<Integer> missing;
    private transient ValueState<Integer> size;
    /** The running timer; negative once the parent has gone on without all its children. */
    private transient ValueState<Long> timer;
    private transient Counter lateChildren;
    private transient Counter timeouts;
    /** When this run of the operator saw its first event or timer, which a restored timer that is overdue is. */
    private transient long firstMs;

    public JoinFunction(JoinSettings settings) {
        this.settings = settings;
    }

    /** What the children of one event have in common: its source position and the frames outside the fan-out. */
    public static final class Parent implements KeySelector<Event, String> {
        private static final long serialVersionUID = 1L;

        @Override
        public String getKey(Event event) {
            Origin origin = event.origin;
            int outer = Math.max(0, Frames.depth(event.frames) - 1);
            return Frames.path(origin.topic() + '/' + origin.partition() + '/' + origin.offset(), event.frames, outer);
        }
    }

    @Override
    public void open(OpenContext context) {
        parents = new JoinedParent(settings);
        parts = new EventParts();
        firstMs = NEVER;
        parent = getRuntimeContext().getState(new ValueStateDescriptor<>("parent", EventTypeInfo.INSTANCE));
        children = getRuntimeContext()
                .getMapState(new MapStateDescriptor<>("children", Types.INT, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        missing = getRuntimeContext().getState(new ValueStateDescriptor<>("missing", Types.INT));
        size = getRuntimeContext().getState(new ValueStateDescriptor<>("size", Types.INT));
        timer = getRuntimeContext().getState(new ValueStateDescriptor<>("timer", Types.LONG));
        lateChildren = getRuntimeContext().getMetricGroup().counter("lateChildren");
        timeouts = getRuntimeContext().getMetricGroup().counter("joinTimeouts");
    }

    @Override
    public void processElement(Event event, Context context, Collector<Event> out) throws Exception {
        began(context.timerService());
        int level = Frames.depth(event.frames) - 1;
        if (level < 0 || Frames.number(event.frames, level) != Frames.number(settings.fanOut)) {
            out.collect(event);
        } else if (event.marksNoChildren()) {
            out.collect(parents.join(parents.bare(event), new Child[0]));
        } else {
            child(event, level, context, out);
        }
    }

    private void began(TimerService timers) {
        if (firstMs == NEVER) {
            firstMs = timers.currentProcessingTime();
        }
    }

    private void child(Event event, int level, Context context, Collector<Event> out) throws Exception {
        Long running = timer.value();
        if (running != null && running < 0) {
            lateChildren.inc();
            return;
        }
        int count = Frames.count(event.frames, level);
        int index = Frames.index(event.frames, level);
        byte[] encoded = Child.encode(event, Frames.traces(event.frames, level), parts);
        if (running == null) {
            if (count == 1) {
                out.collect(parents.join(parents.bare(event), new Child[] {Child.decode(encoded, parts)}));
                return;
            }
            begin(event, count, context);
        } else if (children.contains(index)) {
            return;
        } else if (event.excused() && !parent.value().excused()) {
            parent.update(parent.value().withExcused());
            context.timerService().deleteProcessingTimeTimer(running);
            startTimer(EXCUSED_HORIZONS, context);
        }
        children.put(index, encoded);
        int left = missing.value() - 1;
        missing.update(left);
        if (left == 0) {
            context.timerService().deleteProcessingTimeTimer(timer.value());
            out.collect(gather());
            clear();
        }
    }

    private void begin(Event event, int count, Context context) throws Exception {
        parent.update(parents.bare(event));
        size.update(count);
        missing.update(count);
        startTimer(event.excused() ? EXCUSED_HORIZONS : 1, context);
    }

    private void startTimer(int horizons, Context context) throws Exception {
        long dueMs = context.timerService().currentProcessingTime() + horizons * settings.horizonMs;
        timer.update(dueMs);
        context.timerService().registerProcessingTimeTimer(dueMs);
    }

    private Event gather() throws Exception {
        Child[] all = new Child[size.value()];
        for (Map.Entry<Integer, byte[]> entry : children.entries()) {
            all[entry.getKey()] = Child.decode(entry.getValue(), parts);
        }
        return parents.join(parent.value(), all);
    }

    @Override
    public void onTimer(long timestampMs, OnTimerContext context, Collector<Event> out) throws Exception {
        Long running = timer.value();
        if (running == null) {
            return;
        }
        if (running < 0) {
            timer.clear();
            return;
        }
        began(context.timerService());
        if (running < firstMs + settings.horizonMs) {
            startTimer(1, context);
            return;
        }
        timeouts.inc();
        out.collect(gather());
        clear();
        long endsMs = timestampMs + TOMBSTONE_HORIZONS * settings.horizonMs;
        timer.update(-endsMs);
        context.timerService().registerProcessingTimeTimer(endsMs);
    }

    private void clear() {
        parent.clear();
        children.clear();
        missing.clear();
        size.clear();
        timer.clear();
    }
}
