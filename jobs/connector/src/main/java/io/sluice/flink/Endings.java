package io.sluice.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;

/**
 * Where events end, counted by the sink: in the output, in time or late, or in the dead letters. Used by one thread.
 *
 * <p>{@code events} by outcome is there from the start, so that a first dead letter is seen to come; {@code deadLetters} by stage and reason is not,
 * because operators make up reasons. Those beyond {@link #REASONS_MOST} count as {@code other}.
 */
final class Endings {

    static final int REASONS_MOST = 100;

    private final MetricGroup group;
    private final Counter inTime;
    private final Counter late;
    private final Counter dead;
    private final Map<String, Counter> reasons = new HashMap<>();

    Endings(MetricGroup group) {
        this.group = group;
        inTime = events("in_time");
        late = events("late");
        dead = events("dead_letter");
    }

    void output(boolean isLate) {
        (isLate ? late : inTime).inc();
    }

    void deadLetter(Failure failure) {
        dead.inc();
        String name = failure.stage() + '/' + failure.reason();
        Counter counter = reasons.get(name);
        if (counter == null) {
            counter = reasons.size() < REASONS_MOST
                    ? reasons.computeIfAbsent(name, unused -> deadLetters(failure.stage(), failure.reason()))
                    : reasons.computeIfAbsent("", unused -> deadLetters("other", "other"));
        }
        counter.inc();
    }

    private Counter events(String outcome) {
        return group.addGroup("outcome", outcome).counter("events");
    }

    private Counter deadLetters(String stage, String reason) {
        return group.addGroup("stage", stage).addGroup("reason", reason).counter("deadLetters");
    }
}
