package io.sluice.flink;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.TaskMailbox;

/**
 * One stage in Flink, with state or without: what goes out to the stage's service and comes back, and how much may be under way.
 *
 * <p>While rows or bytes in flight are at capacity, {@code processElement} yields to the task's mailbox at the lowest priority, so that all its mails
 * run, those of checkpoints too. A snapshot taken there is whole: the row at hand is in flight already, {@code processElement} does nothing after
 * the yield, and the network input keeps what it has not yet deserialised apart ({@code StreamTaskNetworkInput.prepareSnapshot} stores each
 * deserialiser's unconsumed bytes, which begin after the row at hand). An unaligned barrier arrives as an urgent mail
 * ({@code CheckpointedInputGate.processPriorityEvents}); so does the announcement of an aligned one, whose timeout is an ordinary mail. This holds
 * because the proxy is the first of its chain. Savepoints are aligned, so they wait until rows are answered.
 *
 * <p>Answers are emitted only while the output takes records without blocking; the rest stay in flight, and their checkpoint with them, until it
 * does. Watermarks and latency markers are passed on at once: they overtake rows in flight, so event time downstream of a proxy means little.
 */
abstract class Proxy extends AbstractStreamOperator<Event> implements OneInputStreamOperator<Event, Event>, Sender.Receiver {

    private static final long serialVersionUID = 1L;

    final ProxySettings settings;
    final transient StreamRecord<Event> outgoing = new StreamRecord<>(null);
    transient AnswerReader reader;
    transient Sender sender;
    private final transient MailboxExecutor mailbox;
    private transient Inbox inbox;
    // Written by the task's thread alone, which needs no barrier for it; read by those of metrics.
    private final transient AtomicInteger rows = new AtomicInteger();
    private final transient AtomicLong bytes = new AtomicLong();

    Proxy(StreamOperatorParameters<Event> parameters, ProxySettings settings) {
        super(parameters);
        this.settings = settings;
        this.mailbox = getContainingTask().getMailboxExecutorFactory().createExecutor(TaskMailbox.MIN_PRIORITY);
    }

    /** To be called once, while the operator opens: from here on rows may be sent, and the taker gets each one's answer. */
    final void connect(Inbox.Taker taker) {
        ProxyMetrics metrics = new ProxyMetrics(getMetricGroup());
        reader = new AnswerReader(settings, metrics);
        inbox = new Inbox(mailbox, getContainingTask().getEnvironment().getAllWriters(), settings.stage, metrics, taker);
        String name = settings.stage + '-' + getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        Transport transport = settings.foreign == null
                ? new GrpcTransport(settings, name)
                : new ForeignTransport(settings.target, settings.stage, name, settings.foreign);
        sender = new Sender(settings, name, transport, metrics, Clock.SYSTEM, this);
        getMetricGroup().gauge("inFlightRows", rows::get);
        getMetricGroup().gauge("inFlightBytes", bytes::get);
        getMetricGroup().gauge("window", sender::window);
        getMetricGroup().gauge("connected", () -> sender.connected() ? 1 : 0);
        sender.start();
    }

    final void entered(int sizeBytes) {
        rows.setRelease(rows.getPlain() + 1);
        bytes.setRelease(bytes.getPlain() + sizeBytes);
    }

    final void left(int sizeBytes) {
        rows.setRelease(rows.getPlain() - 1);
        bytes.setRelease(bytes.getPlain() - sizeBytes);
    }

    /** While the task restores, what comes is bounded by the channels' state, and waiting would keep the job from running. */
    final void awaitCapacity() throws InterruptedException {
        while ((rows.getPlain() >= settings.capacityRows || bytes.getPlain() >= settings.capacityBytes) && getContainingTask().isRunning()) {
            mailbox.yield();
        }
    }

    @Override
    public final void answered(Answers more) {
        inbox.add(more);
    }

    @Override
    public final void died(Throwable cause) {
        getContainingTask().getEnvironment().failExternally(cause);
    }

    /** The input has ended: nothing is left behind. */
    @Override
    public final void finish() throws Exception {
        while (rows.getPlain() > 0) {
            mailbox.yield();
        }
        super.finish();
    }

    /** Survives an {@code open} that failed. */
    @Override
    public final void close() throws Exception {
        if (sender != null) {
            sender.close();
        }
        super.close();
    }
}
