package io.sluice.flink;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/** How the children of one fan-out come together again. */
public final class JoinSettings implements Serializable {

    private static final long serialVersionUID = 1L;

    final String stage;
    final String fanOut;
    final long horizonMs;
    boolean partial;
    boolean raw;
    int retainSlot = ProxySettings.NO_SLOT;
    final List<Integer> clearedSlots = new ArrayList<>();

    /**
     * @param stage name of the joining stage, for failures
     * @param fanOut name of the stage that fanned out
     * @param horizonMs how long the first child waits for the last
     */
    public JoinSettings(String stage, String fanOut, long horizonMs) {
        this.stage = stage;
        this.fanOut = fanOut;
        this.horizonMs = horizonMs;
    }

    /** {@code incomplete: partial}: null stands for a child that failed or did not come, instead of failing the parent. */
    public JoinSettings partial() {
        partial = true;
        return this;
    }

    /** Children's values are not JSON: they go into the array as base64 strings. */
    public JoinSettings raw() {
        raw = true;
        return this;
    }

    /** Forgets what a stage between fan-out and join retained: it was a child's. */
    public JoinSettings clear(int slot) {
        clearedSlots.add(slot);
        return this;
    }

    /** Keeps the array in a slot for a later stage. */
    public JoinSettings retain(int slot) {
        retainSlot = slot;
        return this;
    }
}
