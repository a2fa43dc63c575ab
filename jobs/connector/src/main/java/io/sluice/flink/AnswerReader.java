package io.sluice.flink;

import java.util.function.Consumer;
import java.util.function.Supplier;

/** Turns what a service answered to a row into the events that go on from it. */
final class AnswerReader {

    private final ProxySettings settings;
    private final ProxyMetrics metrics;
    private final int fanOutNumber;
    private Trace.Label label = new Trace.Label("", "", "");

    AnswerReader(ProxySettings settings, ProxyMetrics metrics) {
        this.settings = settings;
        this.metrics = metrics;
        this.fanOutNumber = Frames.number(settings.stage);
    }

    /** Reads the next row of the answers, whose row must be there. */
    void read(Answers answers, Consumer<Event> out) {
        InFlightRow row = answers.row();
        Event event = row.keep ? row.event.withExcused() : row.event;
        switch (answers.response.status[answers.index()]) {
            case Response.FAILED -> failed(event, answers.takeReason(), out);
            case Response.EXPIRED -> {
                metrics.rowsExpired.inc();
                out.accept(event.withFailure(expired(answers.takeReason())));
            }
            default -> answered(event, trace(answers, event), results(answers), answers::takeResult, out);
        }
    }

    /** What a row's answer says of its way through the service. */
    Trace trace(Answers answers, Event event) {
        Response response = answers.response;
        return new Trace(label(response), response.queueUs[answers.index()], computeUs(response), event.childIndex());
    }

    /** Why the next row, a turn, came to nothing; null when it has a result. */
    Failure turnFailure(Answers answers) {
        switch (answers.response.status[answers.index()]) {
            case Response.FAILED -> {
                return Failure.parse(settings.stage, answers.takeReason());
            }
            case Response.EXPIRED -> {
                return expired(answers.takeReason());
            }
            default -> {
                int results = results(answers);
                if (results == 1) {
                    return null;
                }
                skip(answers);
                return new Failure(settings.stage, Failure.OPERATOR_ERROR, "the operator answered " + results + " results to a turn");
            }
        }
    }

    /** An event failed with this {@code reason: detail}. */
    void failed(Event event, String reason, Consumer<Event> out) {
        failed(event, Failure.parse(settings.stage, reason), out);
    }

    void failed(Event event, Failure failure, Consumer<Event> out) {
        metrics.rowsFailed.inc();
        out.accept(event.withFailure(failure));
    }

    /** An event has so many results, which are taken in order. */
    void answered(Event event, Trace trace, int count, Supplier<byte[]> results, Consumer<Event> out) {
        metrics.rowsAnswered.inc();
        if (settings.fansOut) {
            fanOut(event, trace, count, results, out);
        } else {
            passOn(event, trace, count, results, out);
        }
    }

    /** The same for a row that has been answered before: its part of the answers is passed by. */
    void skip(Answers answers) {
        switch (answers.response.status[answers.index()]) {
            case Response.FAILED, Response.EXPIRED -> answers.takeReason();
            default -> {
                for (int i = results(answers); i > 0; i--) {
                    answers.takeResult();
                }
            }
        }
    }

    private void passOn(Event event, Trace trace, int count, Supplier<byte[]> results, Consumer<Event> out) {
        if (count != 1) {
            for (int i = count; i > 0; i--) {
                results.get();
            }
            String detail = "the operator answered " + count + " results; declare the stage with fan_out: true";
            out.accept(event.withFailure(new Failure(settings.stage, Failure.OPERATOR_ERROR, detail)));
            return;
        }
        out.accept(retained(event.withValue(results.get(), trace)));
    }

    private void fanOut(Event event, Trace trace, int count, Supplier<byte[]> results, Consumer<Event> out) {
        int traces = event.traces.length + 1; // this stage's own trace is the parent's
        if (count == 0) {
            Event none = event.withValue(null, trace);
            out.accept(none.withFrames(Frames.push(event.frames, fanOutNumber, -1, 0, traces)));
        }
        for (int i = 0; i < count; i++) {
            Event child = event.withValue(results.get(), trace);
            out.accept(retained(child.withFrames(Frames.push(event.frames, fanOutNumber, i, count, traces))));
        }
    }

    private Event retained(Event event) {
        return settings.retainSlot == ProxySettings.NO_SLOT ? event : event.withSlot(settings.retainSlot, event.value);
    }

    private static int results(Answers answers) {
        int[] children = answers.response.children;
        return children == null ? 1 : children[answers.index()];
    }

    private Failure expired(String reason) {
        Failure parsed = Failure.parse(settings.stage, reason);
        return new Failure(settings.stage, Failure.EXPIRED, parsed.reason().equals(Failure.EXPIRED) ? parsed.detail() : reason);
    }

    private Trace.Label label(Response response) {
        if (!label.is(settings.stage, response.variant, response.version)) {
            label = new Trace.Label(settings.stage, response.variant, response.version);
        }
        return label;
    }

    private static int computeUs(Response response) {
        return (int) Math.max(0, Math.min(response.computeUs, Integer.MAX_VALUE));
    }
}
