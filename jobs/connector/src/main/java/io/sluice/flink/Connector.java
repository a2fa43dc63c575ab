package io.sluice.flink;

import java.util.List;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSink;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.types.Row;

/** What a job is built with, step by step, from any language that can call static methods. Every step has a name, a uid and a parallelism. */
public final class Connector {

    private Connector() {}

    /** Reads a topic; {@code startingOffsets} is earliest, committed or latest, for a job that starts without a checkpoint. */
    public static DataStream<Event> source(
            StreamExecutionEnvironment env,
            String name,
            String uid,
            int parallelism,
            String bootstrapServers,
            String topic,
            String groupId,
            double sloMs,
            String startingOffsets,
            Properties consumer) {
        return env.fromSource(
                        EventSource.of(bootstrapServers, topic, groupId, Math.round(sloMs), startingOffsets, consumer),
                        WatermarkStrategy.noWatermarks(),
                        name,
                        EventTypeInfo.INSTANCE)
                .uid(uid)
                .setParallelism(parallelism);
    }

    /** Numbers the events for {@link #resequence}; follows the source directly, at its parallelism. */
    public static DataStream<Event> stamp(DataStream<Event> stream, String name, String uid, int parallelism) {
        return placed(stream.process(new SequenceStamp(), EventTypeInfo.INSTANCE), name, uid, parallelism);
    }

    /**
     * A stage: sends events to its service and emits what it answers. Begins a chain of its own.
     *
     * <p>Its input is always rebalanced, or with state partitioned by key: over a forward edge Flink aligns barriers even where checkpoints are unaligned, and a full proxy would hold them up.
     */
    public static DataStream<Event> proxy(DataStream<Event> stream, String name, String uid, int parallelism, ProxySettings settings) {
        ProxyOperatorFactory factory = new ProxyOperatorFactory(settings);
        SingleOutputStreamOperator<Event> proxy = settings.state == null
                ? stream.rebalance().transform(name, EventTypeInfo.INSTANCE, factory)
                : stream.keyBy(new StateKey(settings), Types.STRING).transform(name, EventTypeInfo.INSTANCE, factory);
        return placed(proxy, name, uid, parallelism).startNewChain();
    }

    /** Rows of (event, fields...) for a condition in SQL; types are STRING, INT, BIGINT, DOUBLE, BOOLEAN. */
    public static DataStream<Row> toRows(
            DataStream<Event> stream, String name, String uid, int parallelism, List<String> fields, List<String> types) {
        EventToRow toRow = new EventToRow(fields.toArray(String[]::new), types.toArray(String[]::new));
        return placed(stream.map(toRow, toRow.getProducedType()), name, uid, parallelism);
    }

    /** One way out of a branch after {@link #fromRows}: the events that met the condition, or the others. */
    public static DataStream<Event> side(DataStream<Event> stream, boolean met, String name, String uid, int parallelism) {
        return placed(stream.flatMap(new BranchSide(met), EventTypeInfo.INSTANCE), name, uid, parallelism);
    }

    /** The events of rows (event, condition met), marked for {@link #side}; a proxy passes those that did not meet it untouched. */
    public static DataStream<Event> fromRows(DataStream<Row> rows, String name, String uid, int parallelism) {
        return placed(rows.map(new RowToEvent(), EventTypeInfo.INSTANCE), name, uid, parallelism);
    }

    /** Brings the children of a fan-out together. */
    public static DataStream<Event> join(DataStream<Event> stream, String name, String uid, int parallelism, JoinSettings settings) {
        return placed(stream.keyBy(new JoinFunction.Parent()).process(new JoinFunction(settings), EventTypeInfo.INSTANCE), name, uid, parallelism);
    }

    /** Puts the events of each source partition back into their order. */
    public static DataStream<Event> resequence(DataStream<Event> stream, String name, String uid, int parallelism) {
        return placed(stream.keyBy(new Resequencer.Partition()).process(new Resequencer(), EventTypeInfo.INSTANCE), name, uid, parallelism);
    }

    /** Writes output and dead letters; {@code chained} lets the sink run in the thread of the operator before it. */
    public static DataStreamSink<Event> sinkTo(
            DataStream<Event> stream, String name, String uid, int parallelism, boolean chained, EventSink sink) {
        DataStreamSink<Event> placed = stream.sinkTo(sink.build()).name(name).uid(uid).setParallelism(parallelism);
        return chained ? placed : placed.disableChaining();
    }

    private static <T> SingleOutputStreamOperator<T> placed(SingleOutputStreamOperator<T> operator, String name, String uid, int parallelism) {
        return operator.name(name).uid(uid).setParallelism(parallelism);
    }
}
