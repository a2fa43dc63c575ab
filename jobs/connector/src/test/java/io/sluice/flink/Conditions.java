package io.sluice.flink;

import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;

/** Waiting for what must become true. */
final class Conditions {

    private static final long LIMIT_NANOS = 30_000_000_000L;

    private Conditions() {}

    static void await(String what, Callable<Boolean> condition) throws Exception {
        long endNanos = System.nanoTime() + LIMIT_NANOS;
        while (!condition.call()) {
            if (System.nanoTime() > endNanos) {
                throw new AssertionError("not within 30 s: " + what);
            }
            LockSupport.parkNanos(5_000_000);
        }
    }
}
