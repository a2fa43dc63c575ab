package io.sluice.flink;

import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.runtime.io.network.api.writer.ResultPartitionWriter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Answers on their way from other threads to the task's, which takes them row by row in mails, while its output takes records without blocking. */
final class Inbox {

    private static final Logger LOG = LoggerFactory.getLogger(Inbox.class);
    /** After this many rows in one mail, others get their turn. */
    private static final int ROWS_PER_MAIL = 2048;

    /** Takes the next row of the answers; called by the task's thread. */
    interface Taker {
        void take(Answers answers) throws Exception;
    }

    private final MailboxExecutor mailbox;
    private final ResultPartitionWriter[] writers;
    private final String stage;
    private final ProxyMetrics metrics;
    private final Taker taker;
    private final ConcurrentLinkedQueue<Answers> answers = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean mailSent = new AtomicBoolean();

    Inbox(MailboxExecutor mailbox, ResultPartitionWriter[] writers, String stage, ProxyMetrics metrics, Taker taker) {
        this.mailbox = mailbox;
        this.writers = writers;
        this.stage = stage;
        this.metrics = metrics;
        this.taker = taker;
    }

    /** Called by any thread. */
    void add(Answers more) {
        answers.add(more);
        sendMail();
    }

    private void sendMail() {
        if (!mailSent.compareAndSet(false, true)) {
            return;
        }
        try {
            mailbox.execute(this::empty, "answers of %s", stage);
        } catch (RejectedExecutionException e) {
            LOG.debug("{} ends; answers that arrive now come again after its restart", stage);
        }
    }

    private void empty() throws Exception {
        mailSent.set(false);
        int rows = 0;
        Answers next;
        while ((next = answers.peek()) != null) {
            if (next.untouched() && next.roundTripNanos >= 0) {
                metrics.roundTripUs.update(next.roundTripNanos / 1000);
            }
            while (!next.done()) {
                if (!outputTakesMore()) {
                    return;
                }
                if (rows++ == ROWS_PER_MAIL) {
                    sendMail();
                    return;
                }
                taker.take(next);
                next.advance();
            }
            answers.poll();
        }
    }

    /** False when emitting would block the task's thread, and its barriers; a mail comes when it would not. */
    private boolean outputTakesMore() {
        for (ResultPartitionWriter writer : writers) {
            if (!writer.isAvailable()) {
                writer.getAvailableFuture().thenRun(this::sendMail);
                return false;
            }
        }
        return true;
    }
}
