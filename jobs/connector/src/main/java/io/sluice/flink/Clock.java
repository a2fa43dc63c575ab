package io.sluice.flink;

import java.io.Serializable;

/** Unix time in ms; an argument wherever time matters, so that tests can move it. */
@FunctionalInterface
public interface Clock extends Serializable {

    Clock SYSTEM = System::currentTimeMillis;

    long nowMs();
}
