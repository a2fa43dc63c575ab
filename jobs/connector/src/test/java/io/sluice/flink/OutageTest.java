package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class OutageTest {

    private final Outage outage = new Outage();

    /** An event of this time that may take a second. */
    private static Origin at(long timestampMs) {
        return new Origin("in", 0, 0, timestampMs, null, null, EventHeaders.NONE, timestampMs + 1000, Origin.NO_MIN_ACCURACY, Origin.PLAIN_WORTH);
    }

    private void from0To8000() {
        outage.end(-50_000);
        outage.begin(0);
        outage.end(8000);
    }

    @Test
    void whoseLifeMetTheOutageIsBacklog() {
        from0To8000();
        assertTrue(outage.met(at(-900), 8000));
        assertTrue(outage.met(at(8000), 8000));
        assertFalse(outage.met(at(-1100), 8000));
    }

    @Test
    void soIsWhatTheBacklogDelaysUntilAllAreInTime() {
        from0To8000();
        assertTrue(outage.met(at(0), 9000));
        assertTrue(outage.met(at(8500), 9200));
        outage.answered(at(8500), 9600); // late
        outage.answered(at(9000), 9700);
        outage.answered(at(11_000), 11_599);
        assertTrue(outage.recovering());
        outage.answered(at(11_000), 11_600); // 2 s after the last late one
        assertFalse(outage.met(at(9000), 11_600));
        assertTrue(outage.met(at(7000), 11_600));
    }

    @Test
    void whatNeverIsInTimeIsExcusedForFourTimesTheOutage() {
        from0To8000();
        assertTrue(outage.met(at(0), 8000));
        assertTrue(outage.met(at(38_000), 8000 + 4 * 8000));
        assertFalse(outage.met(at(38_100), 8000 + 4 * 8000 + 1));
    }

    @Test
    void aStartLastedAsLongAsItsOldestEventWaited() {
        assertTrue(outage.met(at(1000), 3000));
        outage.end(3000);
        assertTrue(outage.met(at(10_000), 11_000)); // 3000 + 4 * 2000
        assertFalse(outage.met(at(10_000), 11_001));
    }
}
