package io.sluice.flink;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/** How one stage's proxy works. Set once, while the job is built; times in ms, sizes in bytes. */
public final class ProxySettings implements Serializable {

    private static final long serialVersionUID = 1L;
    static final int NO_SLOT = -1;
    private static final int SOURCE_SLOT = -2;

    final String stage;
    final String target;
    int capacityRows = 8192;
    long capacityBytes = 64L << 20;
    int window = 4096;
    int maxRows = 2048;
    int maxBytes = 256 << 10;
    double lingerMs = 2;
    boolean fansOut;
    private int inputSlot = NO_SLOT;
    int retainSlot = NO_SLOT;
    ForeignSettings foreign;
    StateSettings state;
    final List<String> sameModel = new ArrayList<>();

    /** @param target {@code host:port} or {@code unix:/path} of the service, which knows the stage by its name */
    public ProxySettings(String stage, String target) {
        this.stage = stage;
        this.target = target;
    }

    /** Rows and bytes in flight at most: received and not yet emitted, all of it in the checkpoint. */
    public ProxySettings capacity(int rows, long bytes) {
        capacityRows = positive("capacity rows", rows);
        capacityBytes = positive("capacity bytes", bytes);
        return this;
    }

    /** Rows sent and unanswered at most, until the service says otherwise. */
    public ProxySettings window(int rows) {
        window = positive("window", rows);
        return this;
    }

    /** A request goes out at this many rows or bytes, or this long after its first row (longer while much is unanswered); at once when nothing is. */
    public ProxySettings batch(int rows, int bytes, double linger) {
        maxRows = positive("batch rows", rows);
        maxBytes = positive("batch bytes", bytes);
        lingerMs = linger;
        return this;
    }

    /** The operator answers a list per row; each result becomes an event of its own. */
    public ProxySettings fansOut() {
        fansOut = true;
        return this;
    }

    /** Sends what an earlier stage retained in this slot, instead of the latest value. */
    public ProxySettings inputSlot(int slot) {
        inputSlot = slot;
        return this;
    }

    /** Sends the record's own value, instead of the latest one. */
    public ProxySettings inputSource() {
        inputSlot = SOURCE_SLOT;
        return this;
    }

    /** Keeps this stage's value in a slot for a later stage. */
    public ProxySettings retain(int slot) {
        retainSlot = slot;
        return this;
    }

    /** The stage keeps a state of each key; see {@link StateSettings}. An empty field: the key is the record's own. */
    public ProxySettings state(String field, long ttlMs, int maxBytes) {
        state = new StateSettings(field.isEmpty() ? null : field, positive("time to live", ttlMs), positive("state bytes", maxBytes));
        return this;
    }

    /** An earlier stage runs this one's model: an event that has met a version there asks for the same here. Not for a stage with state. */
    public ProxySettings sameModelAs(String earlier) {
        sameModel.add(earlier);
        return this;
    }

    /** Speaks plain v2 to an endpoint that is not ours. */
    public ProxySettings foreign(ForeignSettings settings) {
        foreign = settings;
        return this;
    }

    /** The row that this stage sends for an event. */
    byte[] input(Event event) {
        byte[] row = switch (inputSlot) {
            case NO_SLOT -> event.value;
            case SOURCE_SLOT -> event.origin.value();
            default -> event.slot(inputSlot);
        };
        return row == null ? Bytes.EMPTY : row;
    }

    private static int positive(String name, int number) {
        return (int) positive(name, (long) number);
    }

    private static long positive(String name, long number) {
        if (number <= 0) {
            throw new IllegalArgumentException(name + " is " + number + "; use a positive number");
        }
        return number;
    }
}
