package io.sluice.flink;

import java.nio.charset.StandardCharsets;

/**
 * A stage that an event has passed, and what it cost.
 *
 * @param child index of the fanned-out child that passed, -1 for an event of its own
 */
public record Trace(Label label, int queueUs, int computeUs, int child) {

    static final Trace[] NONE = {};

    /** What the traces of many events have in common; one object serves them all. */
    public static final class Label {
        final String stage;
        final String variant;
        final String version;
        /** The head of the stage header, up to the first number. */
        final byte[] headerPrefix;
        /** How a row asks for this version at another stage: {@code variant:version}; empty where that is longer than the service takes. */
        final byte[] met;

        private static final int MET_MAX = 256;

        public Label(String stage, String variant, String version) {
            this.stage = stage;
            this.variant = variant;
            this.version = version;
            this.headerPrefix = ("name=" + stage + ";variant=" + variant + ";version=" + version + ";queue_us=").getBytes(StandardCharsets.UTF_8);
            byte[] asked = (variant + ':' + version).getBytes(StandardCharsets.UTF_8);
            this.met = asked.length <= MET_MAX ? asked : Bytes.EMPTY;
        }

        boolean is(String stage, String variant, String version) {
            return this.stage.equals(stage) && this.variant.equals(variant) && this.version.equals(version);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Label label && is(label.stage, label.variant, label.version);
        }

        @Override
        public int hashCode() {
            return (stage.hashCode() * 31 + variant.hashCode()) * 31 + version.hashCode();
        }

        @Override
        public String toString() {
            return stage + '/' + variant + '/' + version;
        }
    }
}
