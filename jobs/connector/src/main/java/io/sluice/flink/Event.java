package io.sluice.flink;

import java.util.Arrays;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * What travels between the operators of a job: a record, its latest value and its way through the stages.
 *
 * <p>Never changed once made: the {@code with...} methods make another that shares the rest, so object reuse is safe and copies are free.
 */
@TypeInfo(EventTypeInfo.Factory.class)
public final class Event {

    static final int EXCUSED = 1;
    static final int SKIP = 2;
    static final long NO_SEQUENCE = -1;
    static final byte[][] NO_SLOTS = {};

    final Origin origin;
    final byte[] value;
    final byte[][] slots;
    final int[] frames;
    final Trace[] traces;
    final Failure failure;
    final long sequence;
    final int marks;

    Event(Origin origin, byte[] value, byte[][] slots, int[] frames, Trace[] traces, Failure failure, long sequence, int marks) {
        this.origin = origin;
        this.value = value;
        this.slots = slots;
        this.frames = frames;
        this.traces = traces;
        this.failure = failure;
        this.sequence = sequence;
        this.marks = marks;
    }

    /** A record as it was read. */
    static Event read(Origin origin, boolean excused) {
        return new Event(origin, origin.value(), NO_SLOTS, Frames.NONE, Trace.NONE, null, NO_SEQUENCE, excused ? EXCUSED : 0);
    }

    public Origin origin() {
        return origin;
    }

    public byte[] value() {
        return value;
    }

    public Failure failure() {
        return failure;
    }

    public Trace[] traces() {
        return traces;
    }

    public boolean failed() {
        return failure != null;
    }

    /** Must be answered even if late: it belongs to the backlog of an outage or of a restart. */
    public boolean excused() {
        return (marks & EXCUSED) != 0;
    }

    /** The next stage does not take it: its branch's condition is not met. */
    public boolean skipped() {
        return (marks & SKIP) != 0;
    }

    /** It stands for the children of a fan-out that made none. */
    public boolean marksNoChildren() {
        int depth = Frames.depth(frames);
        return depth > 0 && Frames.index(frames, depth - 1) < 0;
    }

    /** Index in the innermost fan-out, -1 outside any. */
    int childIndex() {
        int depth = Frames.depth(frames);
        return depth == 0 ? -1 : Frames.index(frames, depth - 1);
    }

    /** The id of this event; a child's is {@code parent/index}. */
    public String eventId() {
        return Frames.path(origin.eventId(), frames, Frames.depth(frames));
    }

    byte[] slot(int index) {
        return index < slots.length ? slots[index] : null;
    }

    Event withValue(byte[] newValue, Trace passed) {
        return new Event(origin, newValue, slots, frames, append(traces, passed), failure, sequence, marks);
    }

    Event withSlot(int index, byte[] slotValue) {
        byte[][] newSlots = Arrays.copyOf(slots, Math.max(slots.length, index + 1));
        newSlots[index] = slotValue;
        return new Event(origin, value, newSlots, frames, traces, failure, sequence, marks);
    }

    Event withFailure(Failure newFailure) {
        return new Event(origin, value, slots, frames, traces, newFailure, sequence, marks);
    }

    Event withFrames(int[] newFrames) {
        return new Event(origin, value, slots, newFrames, traces, failure, sequence, marks);
    }

    Event withSequence(long newSequence) {
        return new Event(origin, value, slots, frames, traces, failure, newSequence, marks);
    }

    Event withExcused() {
        return excused() ? this : withMarks(marks | EXCUSED);
    }

    Event withSkip(boolean skip) {
        return skip == skipped() ? this : withMarks(skip ? marks | SKIP : marks & ~SKIP);
    }

    private Event withMarks(int newMarks) {
        return new Event(origin, value, slots, frames, traces, failure, sequence, newMarks);
    }

    private static Trace[] append(Trace[] traces, Trace passed) {
        Trace[] appended = Arrays.copyOf(traces, traces.length + 1);
        appended[traces.length] = passed;
        return appended;
    }

    /** Bytes this event holds in memory, roughly. */
    int sizeBytes() {
        int size = 80 + origin.sizeBytes() + frames.length * 4 + traces.length * 32;
        if (value != null && value != origin.value()) {
            size += value.length;
        }
        for (byte[] slot : slots) {
            size += slot == null ? 0 : slot.length;
        }
        return size;
    }

    @Override
    public String toString() {
        return "Event " + eventId() + (failure == null ? "" : " " + failure);
    }
}
