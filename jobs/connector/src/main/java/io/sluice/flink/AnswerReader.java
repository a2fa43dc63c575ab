package io.sluice.flink;

import java.util.function.Consumer;

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
        Response response = answers.response;
        int index = answers.index();
        InFlightRow row = answers.row();
        Event event = row.keep ? row.event.withExcused() : row.event;
        switch (response.status[index]) {
            case Response.FAILED -> {
                metrics.rowsFailed.inc();
                out.accept(event.withFailure(Failure.parse(settings.stage, answers.takeReason())));
            }
            case Response.EXPIRED -> {
                metrics.rowsExpired.inc();
                out.accept(event.withFailure(expired(answers.takeReason())));
            }
            default -> {
                metrics.rowsAnswered.inc();
                Trace trace = new Trace(label(response), response.queueUs[index], computeUs(response), event.childIndex());
                if (settings.fansOut) {
                    fanOut(event, trace, answers, out);
                } else {
                    passOn(answers, out, event, trace);
                }
            }
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

    private void passOn(Answers answers, Consumer<Event> out, Event event, Trace trace) {
        int results = results(answers);
        if (results != 1) {
            for (int i = results; i > 0; i--) {
                answers.takeResult();
            }
            String detail = "the operator answered " + results + " results; declare the stage with fan_out: true";
            out.accept(event.withFailure(new Failure(settings.stage, Failure.OPERATOR_ERROR, detail)));
            return;
        }
        out.accept(retained(event.withValue(answers.takeResult(), trace)));
    }

    private void fanOut(Event event, Trace trace, Answers answers, Consumer<Event> out) {
        int count = results(answers);
        int traces = event.traces.length + 1; // this stage's own trace is the parent's
        if (count == 0) {
            Event none = event.withValue(null, trace);
            out.accept(none.withFrames(Frames.push(event.frames, fanOutNumber, -1, 0, traces)));
        }
        for (int i = 0; i < count; i++) {
            Event child = event.withValue(answers.takeResult(), trace);
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
