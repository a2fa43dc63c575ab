package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class SendQueueTest {

    private static final int WINDOW = 100;

    /** Batches of 4 rows or 40 bytes, linger 10 ns. */
    private final SendQueue queue = new SendQueue(4, 40, 10);

    private void add(int rows, long atNanos) {
        for (int i = 0; i < rows; i++) {
            Event event = Events.event(i, "v");
            queue.add(new InFlightRow(event, new byte[10], 0, false), atNanos);
        }
    }

    @Test
    void rowsGoAtOnceWhenNothingIsUnanswered() {
        add(1, 5);
        assertEquals(5, queue.dueNanos(0, WINDOW, 5));
        assertEquals(1, queue.take(WINDOW, 5).length);
    }

    @Test
    void rowsLingerWhileSomethingIsUnansweredUntilTheBatchIsFull() {
        add(3, 5);
        assertEquals(15, queue.dueNanos(1, WINDOW, 6));
        add(1, 6);
        assertEquals(6, queue.dueNanos(1, WINDOW, 6));
    }

    @Test
    void theWindowHoldsRowsBack() {
        add(4, 5);
        assertEquals(SendQueue.NEVER, queue.dueNanos(100, WINDOW, 5));
        assertEquals(2, queue.take(2, 5).length);
        assertEquals(2, queue.size());
    }

    @Test
    void bytesBoundABatchButALargeRowGoesAlone() {
        queue.add(new InFlightRow(Events.event(1, "v"), new byte[1000], 0, false), 5);
        add(3, 5);
        assertEquals(1, queue.take(WINDOW, 5).length);
        assertEquals(3, queue.take(WINDOW, 5).length);
    }

    @Test
    void aHintOfTheServiceMakesRowsGoSoonerNeverLater() {
        queue.hint(2);
        add(2, 5);
        assertEquals(5, queue.dueNanos(1, WINDOW, 5));
        queue.hint(1000);
        assertEquals(15, queue.dueNanos(1, WINDOW, 5));
        add(2, 5);
        assertEquals(5, queue.dueNanos(1, WINDOW, 5)); // the batch of the settings is full
    }

    @Test
    void whileTheServiceHasPlentyRowsGatherForLongerIntoLargerRequests() {
        int plenty = SendQueue.PLENTY_ROWS;
        queue.hint(1);
        add(3, 5);
        assertEquals(5, queue.dueNanos(plenty - 1, 10 * plenty, 5));
        assertEquals(45, queue.dueNanos(plenty, 10 * plenty, 5));
        add(1, 6);
        assertEquals(6, queue.dueNanos(plenty, 10 * plenty, 6)); // never more rows than the settings say
    }

    @Test
    void aNearlyUsedWindowIsNotFilledInDribbles() {
        add(4, 5);
        assertEquals(SendQueue.NEVER, queue.dueNanos(97, WINDOW, 5));
        assertEquals(5, queue.dueNanos(96, WINDOW, 5));
    }

    @Test
    void splitGroupsGoFirstAndApart() {
        add(1, 5);
        InFlightRow row = new InFlightRow(Events.event(9, "v"), new byte[1], 0, false);
        queue.addGroup(new InFlightRow[] {row});
        assertEquals(5, queue.dueNanos(50, WINDOW, 5));
        assertEquals(row, queue.take(WINDOW, 5)[0]);
        assertEquals(1, queue.take(WINDOW, 5).length);
    }
}
