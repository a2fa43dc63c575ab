package io.sluice.flink;

import java.io.Serializable;

/** What a v2 endpoint that is not ours expects: the name, type and shape (of one row) of its input, and how long a call may take. */
public final class ForeignSettings implements Serializable {

    private static final long serialVersionUID = 1L;

    final String input;
    String datatype = "BYTES";
    long[] rowShape = {};
    long timeoutMs = 10_000;
    boolean expires;
    String model;
    String modelVersion = "";

    public ForeignSettings(String input) {
        this.input = input;
    }

    /** Rows are raw tensors of this type (FP32, INT64, ...) and shape instead of BYTES; {@code shape} is {@code 3,224,224}, without the batch. */
    public ForeignSettings tensor(String type, String shape) {
        datatype = type;
        rowShape = shape.isBlank() ? new long[0] : java.util.Arrays.stream(shape.split(",")).map(String::trim).mapToLong(Long::parseLong).toArray();
        return this;
    }

    public ForeignSettings timeout(long ms) {
        timeoutMs = ms;
        return this;
    }

    /** The model's name where it is not the stage's. */
    public ForeignSettings model(String name) {
        model = name;
        return this;
    }

    public ForeignSettings version(String version) {
        modelVersion = version;
        return this;
    }

    /** The stage's {@code on_late: dead-letter}: rows past their deadline are not sent but fail as expired, unless excused. */
    public ForeignSettings expires(boolean late) {
        expires = late;
        return this;
    }

    boolean bytes() {
        return datatype.equals("BYTES");
    }
}
