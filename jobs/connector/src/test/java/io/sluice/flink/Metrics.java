package io.sluice.flink;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.SimpleCounter;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.util.UserCodeClassLoader;

/** Contexts whose metrics go nowhere, or are kept for a test to look at. */
final class Metrics {

    private Metrics() {}

    static DeserializationSchema.InitializationContext context() {
        return new DeserializationSchema.InitializationContext() {
            @Override
            public MetricGroup getMetricGroup() {
                return new UnregisteredMetricsGroup();
            }

            @Override
            public UserCodeClassLoader getUserCodeClassLoader() {
                throw new UnsupportedOperationException("no test needs it");
            }
        };
    }

    static SerializationSchema.InitializationContext writing(MetricGroup group) {
        return new SerializationSchema.InitializationContext() {
            @Override
            public MetricGroup getMetricGroup() {
                return group;
            }

            @Override
            public UserCodeClassLoader getUserCodeClassLoader() {
                throw new UnsupportedOperationException("no test needs it");
            }
        };
    }

    /** Counters by their labels and name, as {@code key=value name}. */
    static final class Counted extends UnregisteredMetricsGroup {

        private final String labels;
        private final Map<String, Counter> counters;

        Counted() {
            this("", new LinkedHashMap<>());
        }

        private Counted(String labels, Map<String, Counter> counters) {
            this.labels = labels;
            this.counters = counters;
        }

        @Override
        public MetricGroup addGroup(String key, String value) {
            return new Counted(labels + key + '=' + value + ' ', counters);
        }

        @Override
        public Counter counter(String name) {
            return counters.computeIfAbsent(labels + name, unused -> new SimpleCounter());
        }

        Map<String, Long> counts() {
            Map<String, Long> found = new TreeMap<>();
            counters.forEach((name, counter) -> found.put(name, counter.getCount()));
            return found;
        }
    }
}
