package io.sluice.flink;

import io.sluice.flink.ResponseDecoder.GarbledException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends a proxy's rows and takes what comes back, for ever: whatever happens to the service, each row is sent until it has an answer.
 *
 * <p>Three threads meet here under one lock: the task's adds rows, a thread of our own gathers and sends them, the transport's brings responses.
 */
final class Sender implements Transport.Listener, AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(Sender.class);

    /** Who takes the answers; called from any thread. */
    interface Receiver {
        void answered(Answers answers);

        void died(Throwable cause);
    }

    private static final long FIRST_BACK_OFF_NANOS = TimeUnit.MILLISECONDS.toNanos(50);
    private static final long LONGEST_BACK_OFF_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long LOG_EVERY_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final ProxySettings settings;
    private final Transport transport;
    private final ProxyMetrics metrics;
    private final Clock clock;
    private final Receiver receiver;
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock, down to the blank line.
    private final SendQueue queue;
    private final Unanswered unanswered = new Unanswered();
    private final Outage outage = new Outage();
    private Transport.Stream stream;
    private int window;
    private long pausedUntilNanos;
    private long backOffNanos = FIRST_BACK_OFF_NANOS;
    private long loggedNanos = System.nanoTime() - LOG_EVERY_NANOS;
    private boolean retrying;
    private boolean wakeOnFirst;
    private boolean wakeOnFull;
    private boolean closed;
    private long received;

    Sender(ProxySettings settings, String name, Transport transport, ProxyMetrics metrics, Clock clock, Receiver receiver) {
        this.settings = settings;
        this.transport = transport;
        this.metrics = metrics;
        this.clock = clock;
        this.receiver = receiver;
        this.window = settings.window;
        this.queue = new SendQueue(settings.maxRows, settings.maxBytes, (long) (settings.lingerMs * 1e6));
        this.thread = new Thread(this::run, "sluice-send-" + name);
        this.thread.setDaemon(true);
    }

    void start() {
        pausedUntilNanos = System.nanoTime();
        thread.start();
    }

    /** Called by the task's thread for each row. */
    void send(InFlightRow row) {
        lock.lock();
        try {
            received++;
            queue.add(row, System.nanoTime());
            if (wakeOnFirst || (wakeOnFull && queue.full(unanswered.rows()))) {
                changed.signal();
            }
        } finally {
            lock.unlock();
        }
    }

    int window() {
        lock.lock();
        try {
            return window;
        } finally {
            lock.unlock();
        }
    }

    boolean connected() {
        lock.lock();
        try {
            return !outage.open();
        } finally {
            lock.unlock();
        }
    }

    private void run() {
        try {
            while (true) {
                Outgoing next = next();
                if (next == null) {
                    return;
                }
                if (next.request != null) {
                    next.stream.send(next.request, next.counters);
                    metrics.rowsSent.inc(next.request.rows.length);
                }
            }
        } catch (InterruptedException e) {
            LOG.debug("{} stops", thread.getName());
        } catch (Throwable e) {
            // Only an error of ours or of the machine comes here; without this thread the rows would wait in silence.
            receiver.died(e);
        }
    }

    private record Outgoing(Transport.Stream stream, Request request, Transport.Counters counters) {}

    /** Waits until a request is due; null once closed. Its request is null when all its rows had expired. */
    private Outgoing next() throws InterruptedException {
        lock.lock();
        try {
            while (!closed) {
                long nowNanos = System.nanoTime();
                if (nowNanos < pausedUntilNanos) {
                    await(pausedUntilNanos - nowNanos, false, false);
                } else if (stream == null) {
                    stream = transport.open(this);
                    stream.start();
                } else if (!stream.ready()) {
                    awaitReady();
                } else {
                    if (outage.open() && !retrying) {
                        outage.end(clock.nowMs());
                    }
                    long dueNanos = queue.dueNanos(unanswered.rows(), window, nowNanos);
                    if (dueNanos <= nowNanos) {
                        return outgoing(nowNanos);
                    }
                    boolean linger = dueNanos != SendQueue.NEVER;
                    await(linger ? dueNanos - nowNanos : LONGEST_BACK_OFF_NANOS, queue.size() == 0, linger);
                }
            }
            return null;
        } finally {
            lock.unlock();
        }
    }

    private void await(long nanos, boolean first, boolean full) throws InterruptedException {
        wakeOnFirst = first;
        wakeOnFull = full;
        changed.awaitNanos(nanos);
        wakeOnFirst = false;
        wakeOnFull = false;
    }

    private void awaitReady() throws InterruptedException {
        if (changed.awaitNanos(backOffNanos) <= 0 && outage.open()) {
            backOffNanos = Math.min(backOffNanos * 2, LONGEST_BACK_OFF_NANOS);
            transport.hurry();
        }
    }

    private Outgoing outgoing(long nowNanos) {
        InFlightRow[] rows = queue.take(window - unanswered.rows(), nowNanos);
        long nowMs = clock.nowMs();
        for (InFlightRow row : rows) {
            row.keep |= outage.met(row.event.origin, nowMs);
        }
        if (settings.foreign != null && settings.foreign.expires) {
            rows = unexpired(rows);
        }
        Request request = rows.length == 0 ? null : unanswered.add(rows, nowNanos);
        return new Outgoing(stream, request, new Transport.Counters(received, unanswered.rows() + queue.size(), queue.size()));
    }

    private InFlightRow[] unexpired(InFlightRow[] rows) {
        long nowMs = clock.nowMs();
        InFlightRow[] left = new InFlightRow[rows.length];
        int size = 0;
        for (InFlightRow row : rows) {
            if (row.keep || row.event.origin.deadlineMs() >= nowMs) {
                left[size++] = row;
            } else {
                receiver.answered(Answers.failed(row, Response.EXPIRED, "expired: " + (nowMs - row.event.origin.deadlineMs()) + " ms past the deadline"));
            }
        }
        return size == rows.length ? rows : java.util.Arrays.copyOf(left, size);
    }

    @Override
    public void ready(Transport.Stream from) {
        lock.lock();
        try {
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void answered(Transport.Stream from, Response response) {
        Answers answers = null;
        lock.lock();
        try {
            if (from != stream) {
                return; // its rows are on their way again
            }
            obey(response);
            if (response.retry) {
                retry(response.id);
            } else if (response.error != null) {
                answers = split(response);
            } else {
                answers = settle(response);
            }
            changed.signal();
        } finally {
            lock.unlock();
        }
        if (answers != null) {
            receiver.answered(answers);
        }
    }

    private void obey(Response response) {
        if (response.window != Response.UNSAID) {
            window = Math.max(1, response.window); // zero would leave nobody to say when it ends
        }
        if (response.batch != Response.UNSAID) {
            queue.hint(response.batch);
        }
        if (response.backOffMs > 0) {
            pausedUntilNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(response.backOffMs);
        }
    }

    private Answers settle(Response response) {
        Request request = unanswered.get(response.id);
        if (request == null) {
            if (response.rows.length > 0) {
                malformed("an answer to unknown request '" + response.id + "'");
            }
            return null;
        }
        backOffNanos = FIRST_BACK_OFF_NANOS;
        retrying = false;
        outage.end(clock.nowMs());
        int before = request.unanswered;
        InFlightRow[] rows = unanswered.settle(request, response.rows);
        if (outage.recovering()) {
            recovered(rows, response);
        }
        if (before - request.unanswered < rows.length) {
            malformed("an answer to rows that request " + response.id + " does not have, or no longer");
        }
        if (response.last && request.unanswered > 0) {
            malformed(request.unanswered + " rows of request " + response.id + " left without an answer");
            sendAgain(request, false);
        }
        return new Answers(rows, response, System.nanoTime() - request.sentNanos);
    }

    private void recovered(InFlightRow[] rows, Response response) {
        long nowMs = clock.nowMs();
        for (int i = 0; i < rows.length; i++) {
            if (rows[i] != null && response.status[i] != Response.EXPIRED) {
                outage.answered(rows[i].event.origin, nowMs);
            }
        }
    }

    /** Halves a request that failed as a whole; the row at fault fails once it is alone. */
    private Answers split(Response response) {
        Request request = unanswered.get(response.id);
        if (request == null && response.id.isEmpty()) {
            request = unanswered.only();
        }
        if (request == null) {
            malformed("error without a request: " + response.error);
            abandon("an error that names no request");
            return null;
        }
        unanswered.remove(request);
        InFlightRow[] rest = request.rest();
        if (rest.length == 1) {
            return Answers.failed(rest[0], Response.FAILED, Failure.OPERATOR_ERROR + ": " + response.error);
        }
        int half = rest.length / 2;
        queue.addGroup(java.util.Arrays.copyOf(rest, half));
        queue.addGroup(java.util.Arrays.copyOfRange(rest, half, rest.length));
        return null;
    }

    private void retry(String id) {
        Request request = unanswered.get(id);
        if (request != null) {
            retrying = true;
            outage.begin(msOf(request.sentNanos));
            sendAgain(request, true);
        }
    }

    private void sendAgain(Request request, boolean keep) {
        unanswered.remove(request);
        InFlightRow[] rest = request.rest();
        for (InFlightRow row : rest) {
            row.keep |= keep;
        }
        metrics.resent.inc(rest.length);
        backOff();
        queue.putBack(rest, System.nanoTime());
    }

    private void backOff() {
        pausedUntilNanos = System.nanoTime() + backOffNanos;
        backOffNanos = Math.min(backOffNanos * 2, LONGEST_BACK_OFF_NANOS);
    }

    @Override
    public void garbled(Transport.Stream from, GarbledException why) {
        lock.lock();
        try {
            if (from != stream) {
                return;
            }
            malformed(why.getMessage());
            Request request = why.frame == null ? null : unanswered.get(why.frame.id);
            if (request == null) {
                abandon("a response that cannot be read");
            } else {
                obey(why.frame);
                sendAgain(request, false);
            }
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void broken(Transport.Stream from, String why) {
        lock.lock();
        try {
            if (from == stream && !closed) {
                abandon(why);
                changed.signal();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Gives up the stream; everything unanswered goes out again on the next. */
    private void abandon(String why) {
        Transport.Stream old = stream;
        stream = null;
        metrics.reconnects.inc();
        Request oldest = unanswered.oldest();
        outage.begin(oldest == null ? clock.nowMs() : msOf(oldest.sentNanos)); // a service that hangs is missed late
        logSeldom("{}: stream broken, {} rows will be sent again: {}", unanswered.rows(), why);
        for (Request request : unanswered.drainNewestFirst()) { // so that the oldest rows end up in front
            InFlightRow[] rest = request.rest();
            for (InFlightRow row : rest) {
                row.keep = true;
            }
            metrics.resent.inc(rest.length);
            queue.putBack(rest, System.nanoTime());
        }
        backOff();
        old.cancel();
    }

    private long msOf(long nanos) {
        return clock.nowMs() - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - nanos);
    }

    private void malformed(String what) {
        metrics.malformedResponses.inc();
        logSeldom("{}: malformed response ({} so far): {}", metrics.malformedResponses.getCount(), what);
    }

    private void logSeldom(String format, long number, String what) {
        long nowNanos = System.nanoTime();
        if (nowNanos - loggedNanos >= LOG_EVERY_NANOS) {
            loggedNanos = nowNanos;
            LOG.warn(format, thread.getName(), number, what);
        }
    }

    @Override
    public void close() {
        Transport.Stream open;
        lock.lock();
        try {
            closed = true;
            open = stream;
            changed.signal();
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        try {
            thread.join(TimeUnit.SECONDS.toMillis(5));
        } catch (InterruptedException e) {
            interrupted = true;
        }
        if (open != null) {
            open.cancel();
        }
        transport.close();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
