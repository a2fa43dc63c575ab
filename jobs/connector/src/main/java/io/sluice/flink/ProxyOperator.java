package io.sluice.flink;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/** One stage in Flink: events go to the stage's service and come back answered, in any order; all that are under way are in the checkpoint. */
public final class ProxyOperator extends Proxy {

    private static final long serialVersionUID = 1L;
    private final transient InFlightTable table = new InFlightTable();
    private transient ListState<Event> state;
    private transient List<Event> restored = List.of();

    ProxyOperator(StreamOperatorParameters<Event> parameters, ProxySettings settings) {
        super(parameters, settings);
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        state = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("in-flight", EventTypeInfo.INSTANCE));
        if (context.isRestored()) {
            restored = new ArrayList<>();
            for (Event event : state.get()) {
                restored.add(event);
            }
        }
    }

    @Override
    public void open() throws Exception {
        super.open();
        connect(this::emitRow);
        for (Event event : restored) {
            take(new InFlightRow(event.withExcused(), settings.input(event), event.origin.timestampMs(), true));
        }
        restored = List.of();
    }

    @Override
    public void processElement(StreamRecord<Event> element) throws Exception {
        Event event = element.getValue();
        if (event.failed() || event.marksNoChildren()) {
            output.collect(element);
        } else if (event.skipped()) {
            output.collect(element.replace(event.withSkip(false)));
        } else {
            take(new InFlightRow(event, settings.input(event), element.hasTimestamp() ? element.getTimestamp() : 0, element.hasTimestamp()));
            awaitCapacity();
        }
    }

    private void take(InFlightRow row) {
        table.add(row);
        entered(row.sizeBytes);
        sender.send(row);
    }

    private void emitRow(Answers next) {
        InFlightRow row = next.row();
        if (row == null) {
            reader.skip(next);
        } else {
            table.remove(row);
            left(row.sizeBytes);
            if (row.hasTimestamp) {
                outgoing.setTimestamp(row.timestampMs);
            } else {
                outgoing.eraseTimestamp();
            }
            reader.read(next, event -> output.collect(outgoing.replace(event)));
        }
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        state.update(table.events());
    }
}
