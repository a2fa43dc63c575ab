package io.sluice.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import java.util.Properties;
import java.util.ServiceLoader;
import java.util.Set;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.SimpleCounter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;
import org.apache.flink.runtime.metrics.filter.ReporterFilter;
import org.apache.flink.runtime.metrics.groups.AbstractMetricGroup;
import org.apache.flink.runtime.metrics.groups.FrontMetricGroup;
import org.apache.flink.runtime.metrics.groups.ReporterScopedSettings;
import org.apache.flink.runtime.metrics.groups.UnregisteredMetricGroups;
import org.junit.jupiter.api.Test;

class BoundReporterTest {

    private static BoundReporter reporter(String... options) {
        Properties given = new Properties();
        given.setProperty("port", "0");
        for (int i = 0; i < options.length; i += 2) {
            given.setProperty(options[i], options[i + 1]);
        }
        return new BoundReporterFactory().createMetricReporter(given);
    }

    private static boolean answers(String host, int port) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(host, port), 2000);
            return true;
        } catch (ConnectException refused) {
            return false;
        }
    }

    @Test
    void itListensOnTheLoopbackAddressAlone() throws IOException {
        BoundReporter reporter = reporter();
        assertTrue(answers("127.0.0.1", reporter.port()));
        // a socket bound to all addresses would answer on every other one of the loopback network too
        assertFalse(answers("127.0.0.2", reporter.port()));
        reporter.close();
        assertFalse(answers("127.0.0.1", reporter.port()));
    }

    @Test
    void itListensOnTheAddressThatItIsTold() throws IOException {
        BoundReporter reporter = reporter("host", "127.0.0.2");
        assertTrue(answers("127.0.0.2", reporter.port()));
        assertFalse(answers("127.0.0.1", reporter.port()));
        reporter.close();
    }

    @Test
    void itTakesTheNextPortOfTheRangeWhenOneIsTaken() throws IOException {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            int port = taken.getLocalPort();
            BoundReporter reporter = reporter("port", port + "-" + (port + 20));
            assertTrue(reporter.port() > port);
            reporter.close();
            IllegalStateException none = assertThrows(IllegalStateException.class, () -> reporter("port", String.valueOf(port)));
            assertEquals("cannot listen for metrics on 127.0.0.1, ports " + port, none.getMessage());
        }
    }

    @Test
    void itShowsTheMetricsThatFlinkHandsIt() throws Exception {
        BoundReporter reporter = reporter();
        reporter.open(new MetricConfig());
        SimpleCounter counter = new SimpleCounter();
        counter.inc(3);
        ReporterScopedSettings<Metric> settings = new ReporterScopedSettings<>(0, '_', ReporterFilter.getNoOpFilter(), Set.of(), Map.of());
        MetricGroup group = UnregisteredMetricGroups.createUnregisteredTaskManagerMetricGroup();
        reporter.notifyOfAddedMetric(counter, "rowsSent", new FrontMetricGroup<>(settings, (AbstractMetricGroup<?>) group));
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + reporter.port() + "/metrics")).build();
        String body = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
        reporter.close();
        assertTrue(body.contains("rowsSent") && body.contains("3.0"), body);
    }

    @Test
    void flinkFindsItsFactory() {
        assertTrue(ServiceLoader.load(MetricReporterFactory.class).stream().anyMatch(f -> f.type() == BoundReporterFactory.class));
    }
}
