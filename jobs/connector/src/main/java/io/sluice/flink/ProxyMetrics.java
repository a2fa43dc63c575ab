package io.sluice.flink;

import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.ThreadSafeSimpleCounter;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;

/** What a proxy counts; the counters by several threads, the histogram by the task's. */
final class ProxyMetrics {

    private static final int ROUND_TRIPS = 1000;

    final Counter rowsSent;
    final Counter rowsAnswered;
    final Counter rowsFailed;
    final Counter rowsExpired;
    final Counter resent;
    final Counter reconnects;
    final Counter malformedResponses;
    final Histogram roundTripUs;

    ProxyMetrics(MetricGroup group) {
        rowsSent = group.counter("rowsSent", new ThreadSafeSimpleCounter());
        rowsAnswered = group.counter("rowsAnswered", new ThreadSafeSimpleCounter());
        rowsFailed = group.counter("rowsFailed", new ThreadSafeSimpleCounter());
        rowsExpired = group.counter("rowsExpired", new ThreadSafeSimpleCounter());
        resent = group.counter("resent", new ThreadSafeSimpleCounter());
        reconnects = group.counter("reconnects", new ThreadSafeSimpleCounter());
        malformedResponses = group.counter("malformedResponses", new ThreadSafeSimpleCounter());
        roundTripUs = group.histogram("roundTripUs", new DescriptiveStatisticsHistogram(ROUND_TRIPS));
    }
}
