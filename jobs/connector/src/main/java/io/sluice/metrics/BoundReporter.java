package io.sluice.metrics;

import io.prometheus.client.CollectorRegistry;
import io.prometheus.client.exporter.HTTPServer;
import java.io.IOException;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import java.util.Iterator;
import org.apache.flink.metrics.prometheus.AbstractPrometheusReporter;
import org.apache.flink.util.PortRange;

/** Flink's Prometheus reporter, listening on one address only; Flink's own has no such option and listens on all. */
public final class BoundReporter extends AbstractPrometheusReporter {

    private final HTTPServer server;

    /** Takes the first free port of the range. */
    BoundReporter(String host, PortRange ports) {
        server = listen(host, ports, registryOf(this));
        log.info("Metrics for Prometheus on {}:{}", host, server.getPort());
    }

    int port() {
        return server.getPort();
    }

    @Override
    public void close() {
        server.stop();
        super.close();
    }

    private static HTTPServer listen(String host, PortRange ports, CollectorRegistry registry) {
        IOException last = null;
        for (Iterator<Integer> each = ports.getPortsIterator(); each.hasNext(); ) {
            try {
                return new HTTPServer(new InetSocketAddress(host, each.next()), registry, true);
            } catch (IOException taken) {
                last = taken;
            }
        }
        throw new IllegalStateException("cannot listen for metrics on " + host + ", ports " + ports, last);
    }

    /** The registry is visible to Flink's own reporters only. */
    private static CollectorRegistry registryOf(AbstractPrometheusReporter reporter) {
        try {
            Field registry = AbstractPrometheusReporter.class.getDeclaredField("registry");
            registry.setAccessible(true);
            return (CollectorRegistry) registry.get(reporter);
        } catch (ReflectiveOperationException changed) {
            throw new IllegalStateException("this version of flink-metrics-prometheus keeps its registry elsewhere", changed);
        }
    }
}
