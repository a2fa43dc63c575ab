package io.sluice.flink;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/** Makes the parent of children that have met: their values as one JSON array, in order. */
final class JoinedParent {

    private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);

    private final JoinSettings settings;

    JoinedParent(JoinSettings settings) {
        this.settings = settings;
    }

    /** The parent without its children: frames and slots as before the fan-out, no value. */
    Event bare(Event child) {
        int level = Frames.depth(child.frames) - 1;
        Trace[] traces = Arrays.copyOf(child.traces, Math.min(Frames.traces(child.frames, level), child.traces.length));
        byte[][] slots = child.slots.clone();
        for (int slot : settings.clearedSlots) {
            if (slot < slots.length) {
                slots[slot] = null;
            }
        }
        int marks = child.marks & ~Event.SKIP;
        return new Event(child.origin, null, slots, Frames.pop(child.frames), traces, null, child.sequence, marks);
    }

    /** The parent of these children; null in the place of one that did not come. */
    Event join(Event bare, Child[] children) {
        Event parent = new Event(
                bare.origin, array(children), bare.slots, bare.frames, traces(bare, children), null, bare.sequence, bare.marks);
        Failure failure = failure(children);
        if (failure != null) {
            return parent.withFailure(failure);
        }
        return settings.retainSlot == ProxySettings.NO_SLOT ? parent : parent.withSlot(settings.retainSlot, parent.value);
    }

    private Failure failure(Child[] children) {
        int failed = 0;
        int missing = 0;
        StringBuilder detail = new StringBuilder();
        for (int i = 0; i < children.length; i++) {
            if (children[i] != null && children[i].failure() == null) {
                continue;
            }
            String reason = children[i] == null ? "missing" : children[i].failure().reason();
            failed += children[i] == null ? 0 : 1;
            missing += children[i] == null ? 1 : 0;
            detail.append(detail.isEmpty() ? "" : ", ").append(i).append(": ").append(reason);
        }
        boolean whole = failed + missing == 0;
        if (whole || (settings.partial && failed + missing < children.length)) {
            return null;
        }
        String reason = missing > 0 ? Failure.JOIN_TIMEOUT : Failure.CHILD_FAILED;
        return new Failure(settings.stage, reason, detail.toString());
    }

    private byte[] array(Child[] children) {
        ByteArrayOutputStream array = new ByteArrayOutputStream();
        array.write('[');
        for (int i = 0; i < children.length; i++) {
            if (i > 0) {
                array.write(',');
            }
            element(children[i], array);
        }
        array.write(']');
        return array.toByteArray();
    }

    private void element(Child child, ByteArrayOutputStream array) {
        if (child == null || child.failure() != null || child.value() == null) {
            array.writeBytes(NULL);
        } else if (settings.raw) {
            array.write('"');
            array.writeBytes(Base64.getEncoder().encode(child.value()));
            array.write('"');
        } else {
            array.writeBytes(child.value().length == 0 ? NULL : child.value());
        }
    }

    private static Trace[] traces(Event bare, Child[] children) {
        List<Trace> traces = new ArrayList<>(Arrays.asList(bare.traces));
        for (Child child : children) {
            if (child != null) {
                traces.addAll(Arrays.asList(child.traces()));
            }
        }
        return traces.toArray(Trace.NONE);
    }
}
