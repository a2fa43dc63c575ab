package io.sluice.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.metrics.Counter;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.operators.InternalTimer;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.api.operators.Triggerable;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * One stage with state in Flink. Each key has at most one turn at the service: its state and the next of its events, in order. The answer brings the
 * results and the new state, which are emitted and kept in one step; what came for the key meanwhile makes up its next turn. Turns of different keys
 * travel together.
 *
 * <p>A checkpoint holds the states and, in order, every event not applied to them, those of turns that are out too; so no barrier waits for the service,
 * and an outage of any length fails none. The service keeps no state: a turn that is lost with a replica, a connection or this task goes out again from
 * the state it began with, and its first answer, if it still comes, is nobody's.
 */
public final class KeyedProxyOperator extends Proxy implements Triggerable<String, VoidNamespace> {

    private static final long serialVersionUID = 1L;
    private static final ListStateDescriptor<Event> WAITING = new ListStateDescriptor<>("waiting", EventTypeInfo.INSTANCE);
    private static final String NO_KEY = "the event has no key";

    private final transient Map<String, WaitingKey> waiting = new HashMap<>();
    /** The keys that have waiting events in the backend, which may be answered by now. */
    private transient Set<String> saved = new HashSet<>();
    private transient ListState<Event> savedEvents;
    private transient KeyStates states;
    private transient StateKey stateKey;
    private transient Counter turnsSplit;

    KeyedProxyOperator(StreamOperatorParameters<Event> parameters, ProxySettings settings) {
        super(parameters, settings);
    }

    @Override
    public void open() throws Exception {
        super.open();
        stateKey = new StateKey(settings);
        turnsSplit = getMetricGroup().counter("turnsSplit");
        savedEvents = getRuntimeContext().getListState(WAITING);
        states = new KeyStates(
                getRuntimeContext().getState(KeyStates.DESCRIPTOR),
                getInternalTimerService("time-to-live", VoidNamespaceSerializer.INSTANCE, this),
                settings.state.ttlMs(),
                getMetricGroup());
        connect(this::take);
        restore();
    }

    private void restore() throws Exception {
        getKeyedStateBackend().applyToAllKeys(
                VoidNamespace.INSTANCE, VoidNamespaceSerializer.INSTANCE, KeyStates.DESCRIPTOR, (key, state) -> states.found(state.value()));
        getKeyedStateBackend().applyToAllKeys(VoidNamespace.INSTANCE, VoidNamespaceSerializer.INSTANCE, WAITING, (key, events) -> {
            saved.add((String) key);
            for (Event event : events.get()) {
                add((String) key, event.withExcused());
            }
        });
        for (WaitingKey key : waiting.values()) {
            sendTurn(key);
        }
    }

    /** The current key is set where state is used, which is seldom where a record comes in. */
    @Override
    public void setKeyContextElement(StreamRecord<Event> record) {}

    @Override
    public void processElement(StreamRecord<Event> element) throws Exception {
        Event event = element.getValue();
        if (event.failed() || event.marksNoChildren()) {
            output.collect(element);
            return;
        }
        String key = stateKey.of(event);
        if (key == null) {
            output.collect(element.replace(event.withFailure(new Failure(settings.stage, Failure.BAD_INPUT, NO_KEY))));
            return;
        }
        WaitingKey queue = add(key, event);
        if (queue.out == 0) {
            sendTurn(queue);
        }
        awaitCapacity();
    }

    private WaitingKey add(String key, Event event) {
        WaitingKey queue = waiting.computeIfAbsent(key, WaitingKey::new);
        queue.events.add(event);
        entered(event.sizeBytes());
        return queue;
    }

    private void sendTurn(WaitingKey queue) throws Exception {
        setCurrentKey(queue.key);
        byte[] entry = states.read();
        Event first = queue.events.peekFirst();
        queue.anew = entry != null && states.tooOld(entry, first.origin.timestampMs());
        boolean kept = entry != null && !queue.anew;
        List<byte[]> turn = queue.takeTurn(settings, kept ? KeyStates.touchedMs(entry) : first.origin.timestampMs());
        sender.send(new InFlightRow(first, Turn.encode(kept ? entry : KeyStates.NONE, KeyStates.HEAD_BYTES, turn), queue));
    }

    private void take(Answers next) throws Exception {
        InFlightRow row = next.row();
        if (row == null) {
            reader.skip(next);
            return;
        }
        WaitingKey queue = row.turnOf;
        Failure failure = reader.turnFailure(next);
        Turn.Applied applied = failure == null ? Turn.applied(next.takeResult(), queue.out) : null;
        if (applied != null && applied.stateBytes <= settings.state.maxBytes()) {
            apply(queue, applied, row.keep, reader.trace(next, row.event));
        } else {
            refused(queue, failure != null ? failure : flaw(applied));
        }
        if (queue.events.isEmpty()) {
            waiting.remove(queue.key);
        } else {
            sendTurn(queue);
        }
    }

    private void apply(WaitingKey queue, Turn.Applied applied, boolean keep, Trace trace) throws Exception {
        setCurrentKey(queue.key);
        states.write(applied.bytes, applied.stateFrom, applied.stateBytes, queue.touchedMs, queue.anew);
        queue.applied();
        for (; queue.out > 0; queue.out--) {
            Event event = keep ? remove(queue).withExcused() : remove(queue);
            int count = applied.next();
            if (Turn.Applied.failed(count)) {
                reader.failed(event, applied.reason(), this::emit);
            } else {
                reader.answered(event, trace, count, applied::element, this::emit);
            }
        }
    }

    /** The turn came to nothing: its event, if it has only one, is at fault; else the next turns are smaller. */
    private void refused(WaitingKey queue, Failure failure) {
        boolean condemned = queue.condemned();
        queue.out = 0;
        if (condemned) {
            reader.failed(remove(queue), failure, this::emit);
        } else {
            turnsSplit.inc();
        }
    }

    private Failure flaw(Turn.Applied applied) {
        return applied == null
                ? new Failure(settings.stage, Failure.OPERATOR_ERROR, "the answer is none to a turn; the stage needs an operator with state")
                : new Failure(settings.stage, Failure.TOO_LARGE, "the state of its key would have " + applied.stateBytes + " bytes; the stage keeps "
                        + settings.state.maxBytes());
    }

    private Event remove(WaitingKey queue) {
        Event event = queue.events.pollFirst();
        left(event.sizeBytes());
        return event;
    }

    private void emit(Event event) {
        output.collect(outgoing.replace(event, event.origin.timestampMs()));
    }

    @Override
    public void onProcessingTime(InternalTimer<String, VoidNamespace> timer) throws Exception {
        states.timer();
    }

    @Override
    public void onEventTime(InternalTimer<String, VoidNamespace> timer) {
        throw new IllegalStateException("no timer of event time was started");
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        for (String key : saved) {
            if (!waiting.containsKey(key)) {
                setCurrentKey(key);
                savedEvents.clear();
            }
        }
        saved = new HashSet<>(waiting.keySet());
        for (WaitingKey queue : waiting.values()) {
            setCurrentKey(queue.key);
            savedEvents.update(new ArrayList<>(queue.events));
        }
    }
}
