package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.core.execution.CheckpointType;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.executiongraph.AccessExecutionVertex;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.test.junit5.InjectMiniCluster;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Two proxies in a row, the second of which cannot reach its service, with far more rows than it may hold: checkpoints must go on. */
@Timeout(180)
class ProxyOutageTest {

    @RegisterExtension
    static final MiniClusterExtension CLUSTER = new MiniClusterExtension(
            new MiniClusterResourceConfiguration.Builder().setNumberTaskManagers(1).setNumberSlotsPerTaskManager(4).build());

    /** Together some 10 MB, far more than all network buffers between the steps hold: the source never comes to its end. */
    private static final int ROWS = 40_000;

    private static final String PADDING = "x".repeat(200);
    private static final int CAPACITY = 50;
    /** Where the job's last step writes, for the test to see; by run. */
    private static final Map<String, Queue<String>> OUT = new ConcurrentHashMap<>();

    @TempDir
    Path checkpoints;

    private record Collect(String run) implements MapFunction<Event, Event> {
        @Override
        public Event map(Event event) {
            OUT.get(run).add(event.failed() ? event.failure.toString() : Events.text(event.value));
            return event;
        }
    }

    private JobID start(MiniCluster cluster, String run, String from, TestService first, TestService second) throws Exception {
        Configuration settings = new Configuration();
        settings.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, java.time.Duration.ofHours(1)); // the test triggers them
        settings.set(CheckpointingOptions.CHECKPOINTING_TIMEOUT, java.time.Duration.ofSeconds(10));
        settings.set(CheckpointingOptions.ENABLE_UNALIGNED, true);
        settings.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, checkpoints.toUri().toString());
        settings.set(CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION, ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
        settings.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
        if (from != null) {
            settings.set(StateRecoveryOptions.SAVEPOINT_PATH, from);
        }
        OUT.put(run, new ConcurrentLinkedQueue<>());
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(settings);
        env.setParallelism(1);
        env.configure(settings);
        DataStream<Event> events = env.fromSequence(0, ROWS - 1).uid("numbers").map(i -> Events.onTime(i, PADDING + i)).returns(EventTypeInfo.INSTANCE);
        DataStream<Event> one = Connector.proxy(events, "first", "first", 1, new ProxySettings("first", first.target()).capacity(CAPACITY, 1 << 20));
        DataStream<Event> two = Connector.proxy(one, "second", "second", 1, new ProxySettings("second", second.target()).capacity(CAPACITY, 1 << 20));
        two.map(new Collect(run)).returns(EventTypeInfo.INSTANCE).uid("collect").sinkTo(new DiscardingSink<>()).uid("sink");
        return env.executeAsync(run).getJobID();
    }

    private static Set<String> expected() {
        return java.util.stream.IntStream.range(0, ROWS).mapToObj(i -> PADDING + i + "!!").collect(Collectors.toCollection(TreeSet::new));
    }

    private static String checkpoint(MiniCluster cluster, JobID job) throws Exception {
        return cluster.triggerCheckpoint(job, CheckpointType.FULL).get(20, TimeUnit.SECONDS) + "";
    }

    private static void awaitStatus(MiniCluster cluster, JobID job, JobStatus status) throws Exception {
        Conditions.await(job + " is " + status, () -> cluster.getJobStatus(job).get() == status);
    }

    @Test
    void checkpointsGoOnWhileTheServiceIsAwayAndNothingIsLost(@InjectMiniCluster MiniCluster cluster) throws Exception {
        try (TestService first = TestService.started((s, call) -> call.ok());
                TestService second = new TestService((s, call) -> call.ok())) { // away
            JobID job = start(cluster, "outage", null, first, second);
            awaitStandstill(cluster, job, first);

            checkpoint(cluster, job);
            checkpoint(cluster, job);
            assertEquals(0, OUT.get("outage").size());

            second.start();
            awaitStatus(cluster, job, JobStatus.FINISHED);
            assertEquals(ROWS, OUT.get("outage").size()); // each once
            assertEquals(expected(), new TreeSet<>(OUT.get("outage")));
        }
    }

    @Test
    void aRestartFromSuchACheckpointRepeatsWhatWasInFlight(@InjectMiniCluster MiniCluster cluster) throws Exception {
        try (TestService first = TestService.started((s, call) -> call.ok());
                TestService second = new TestService((s, call) -> call.ok())) {
            JobID job = start(cluster, "before", null, first, second);
            awaitStandstill(cluster, job, first);
            String path = cluster.triggerCheckpoint(job, CheckpointType.FULL).thenApply(id -> retained(job)).get(20, TimeUnit.SECONDS);
            cluster.cancelJob(job).get();
            awaitStatus(cluster, job, JobStatus.CANCELED);
            assertEquals(0, OUT.get("before").size());

            second.start();
            JobID again = start(cluster, "after", path, first, second);
            awaitStatus(cluster, again, JobStatus.FINISHED);
            assertEquals(expected(), new TreeSet<>(OUT.get("after")));
            assertEquals(ROWS, OUT.get("after").size());
            List<TestService.Call> calls = second.requests.stream().map(message -> new TestService.Call(message, null)).toList();
            assertTrue(calls.get(0).has("keep"), "rows of before the restart must be answered even if late");
        }
    }

    /** The first service is asked nothing more: everything behind it is full. */
    private static void awaitStandstill(MiniCluster cluster, JobID job, TestService first) throws Exception {
        Conditions.await("all tasks run", () -> {
            for (AccessExecutionVertex vertex : cluster.getExecutionGraph(job).get().getAllExecutionVertices()) {
                if (vertex.getExecutionState() != ExecutionState.RUNNING) {
                    return false;
                }
            }
            return true;
        });
        long[] seen = {-1, System.nanoTime()};
        Conditions.await("standstill", () -> {
            int requests = first.requests.size();
            if (requests == 0 || requests != seen[0]) {
                seen[0] = requests;
                seen[1] = System.nanoTime();
            }
            return requests > 0 && System.nanoTime() - seen[1] > TimeUnit.SECONDS.toNanos(1);
        });
    }

    /** The newest checkpoint that the job has finished. */
    private String retained(JobID job) {
        File[] found = checkpoints.resolve(job.toHexString()).toFile().listFiles(chk -> new File(chk, "_metadata").exists());
        return Arrays.stream(found).max(Comparator.comparing(chk -> Integer.parseInt(chk.getName().substring(4)))).orElseThrow().toURI().toString();
    }
}
