package io.sluice.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Numbers the events of each partition 0, 1, 2, ... without gaps, which offsets may have. Must be chained to the source.
 *
 * <p>Partitions move between subtasks when a job is rescaled, so each gets the whole state; of several numbers for a partition the highest is its owner's.
 */
public final class SequenceStamp extends ProcessFunction<Event, Event> implements CheckpointedFunction {

    private static final long serialVersionUID = 1L;

    private transient Map<String, long[]> next;
    private transient ListState<Tuple2<String, Long>> state;
    private transient String lastTopic;
    private transient int lastPartition;
    private transient long[] lastNext;

    @Override
    public void initializeState(FunctionInitializationContext context) throws Exception {
        next = new HashMap<>();
        state = context.getOperatorStateStore()
                .getUnionListState(new ListStateDescriptor<>("next-sequence", Types.TUPLE(Types.STRING, Types.LONG)));
        if (context.isRestored()) {
            for (Tuple2<String, Long> entry : state.get()) {
                long[] number = next.computeIfAbsent(entry.f0, partition -> new long[1]);
                number[0] = Math.max(number[0], entry.f1);
            }
        }
    }

    @Override
    public void processElement(Event event, Context context, Collector<Event> out) {
        out.collect(event.withSequence(number(event.origin)[0]++));
    }

    private long[] number(Origin origin) {
        if (lastNext == null || lastPartition != origin.partition() || !origin.topic().equals(lastTopic)) {
            lastTopic = origin.topic();
            lastPartition = origin.partition();
            lastNext = next.computeIfAbsent(lastTopic + '/' + lastPartition, partition -> new long[1]);
        }
        return lastNext;
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) throws Exception {
        state.clear();
        for (Map.Entry<String, long[]> entry : next.entrySet()) {
            state.add(Tuple2.of(entry.getKey(), entry.getValue()[0]));
        }
    }
}
