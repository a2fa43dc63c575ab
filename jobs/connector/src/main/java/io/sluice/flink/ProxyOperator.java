package io.sluice.flink;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.TaskMailbox;

/**
 * One stage in Flink: events go to the stage's service and come back answered, in any order; all that are under way are in the checkpoint.
 *
 * <p>While rows or bytes in flight are at capacity, {@code processElement} yields to the task's mailbox at the lowest priority, so that all its mails
 * run, those of checkpoints too. A snapshot taken there is whole: the row at hand is in the table already, {@code processElement} does nothing after
 * the yield, and the network input keeps what it has not yet deserialised apart ({@code StreamTaskNetworkInput.prepareSnapshot} stores each
 * deserialiser's unconsumed bytes, which begin after the row at hand). An unaligned barrier arrives as an urgent mail
 * ({@code CheckpointedInputGate.processPriorityEvents}); so does the announcement of an aligned one, whose timeout is an ordinary mail. This holds
 * because the proxy is the first of its chain. Savepoints are aligned, so they wait until rows are answered.
 *
 * <p>Answers are emitted only while the output takes records without blocking; the rest stay in the table, and their checkpoint with them, until it
 * does. Watermarks and latency markers are passed on at once: they overtake rows in flight, so event time downstream of a proxy means little.
 */
public final class ProxyOperator extends AbstractStreamOperator<Event> implements OneInputStreamOperator<Event, Event>, Sender.Receiver {

    private static final long serialVersionUID = 1L;
    private final ProxySettings settings;
    private final transient MailboxExecutor mailbox;
    private final transient InFlightTable table = new InFlightTable();
    private final transient StreamRecord<Event> outgoing = new StreamRecord<>(null);
    private transient ListState<Event> state;
    private transient List<Event> restored = List.of();
    private transient AnswerReader reader;
    private transient Inbox inbox;
    private transient Sender sender;

    ProxyOperator(StreamOperatorParameters<Event> parameters, ProxySettings settings) {
        super(parameters);
        this.settings = settings;
        this.mailbox = getContainingTask().getMailboxExecutorFactory().createExecutor(TaskMailbox.MIN_PRIORITY);
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
        ProxyMetrics metrics = new ProxyMetrics(getMetricGroup());
        reader = new AnswerReader(settings, metrics);
        inbox = new Inbox(mailbox, getContainingTask().getEnvironment().getAllWriters(), settings.stage, metrics, this::emitRow);
        String name = settings.stage + '-' + getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        Transport transport = settings.foreign == null
                ? new GrpcTransport(settings.target, settings.stage, name)
                : new ForeignTransport(settings.target, settings.stage, name, settings.foreign);
        sender = new Sender(settings, name, transport, metrics, Clock.SYSTEM, this);
        getMetricGroup().gauge("inFlightRows", table::rows);
        getMetricGroup().gauge("inFlightBytes", table::bytes);
        getMetricGroup().gauge("window", sender::window);
        getMetricGroup().gauge("connected", () -> sender.connected() ? 1 : 0);
        sender.start();
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
        sender.send(row);
    }

    /** While the task restores, what comes is bounded by the channels' state, and waiting would keep the job from running. */
    private void awaitCapacity() throws InterruptedException {
        while ((table.rows() >= settings.capacityRows || table.bytes() >= settings.capacityBytes) && getContainingTask().isRunning()) {
            mailbox.yield();
        }
    }

    @Override
    public void answered(Answers more) {
        inbox.add(more);
    }

    @Override
    public void died(Throwable cause) {
        getContainingTask().getEnvironment().failExternally(cause);
    }

    private void emitRow(Answers next) {
        InFlightRow row = next.row();
        if (row == null) {
            reader.skip(next);
        } else {
            table.remove(row);
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

    /** The input has ended: nothing is left behind. */
    @Override
    public void finish() throws Exception {
        while (table.rows() > 0) {
            mailbox.yield();
        }
        super.finish();
    }

    /** Survives an {@code open} that failed. */
    @Override
    public void close() throws Exception {
        if (sender != null) {
            sender.close();
        }
        super.close();
    }
}
