package io.sluice.metrics;

import java.util.Properties;
import org.apache.flink.metrics.reporter.MetricReporterFactory;
import org.apache.flink.util.PortRange;

/** Options: {@code host}, by default 127.0.0.1; {@code port}, one or a range such as 9249-9250. */
public final class BoundReporterFactory implements MetricReporterFactory {

    static final String DEFAULT_HOST = "127.0.0.1";
    static final String DEFAULT_PORT = "9249";

    @Override
    public BoundReporter createMetricReporter(Properties options) {
        String host = options.getProperty("host", DEFAULT_HOST);
        return new BoundReporter(host, new PortRange(options.getProperty("port", DEFAULT_PORT)));
    }
}
