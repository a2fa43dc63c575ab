package io.sluice.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BranchTest {

    private static final String[] NAMES = {"label", "count", "size", "confidence", "sure"};
    private static final String[] TYPES = {"STRING", "INT", "BIGINT", "DOUBLE", "BOOLEAN"};

    private static List<Object> fields(String json) {
        Row row = new EventToRow(NAMES, TYPES).map(Events.event(1, json));
        return Arrays.asList(row.getField(1), row.getField(2), row.getField(3), row.getField(4), row.getField(5));
    }

    @Test
    void declaredFieldsAreReadByTheirTypes() {
        assertEquals(
                List.of("cat", 3, 5_000_000_000L, 0.5, true),
                fields("{\"sure\":true,\"x\":{\"label\":\"no\"},\"label\":\"cat\",\"count\":3,\"size\":5000000000,\"confidence\":0.5}"));
        assertEquals(4.0, fields("{\"confidence\":4}").get(3));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{\"label\":1,\"count\":\"3\",\"size\":1.5,\"confidence\":\"x\",\"sure\":0}",
        "{\"count\":3000000000,\"size\":99999999999999999999}",
        "{\"label\":null}",
        "{\"label\":\"cat\"",
        "[1,2]",
        "7",
        "nonsense",
        "{}",
    })
    void whatIsNotThereOrNotOfItsTypeIsNull(String json) {
        assertEquals(Arrays.asList(null, null, null, null, null), fields(json));
    }

    @Test
    void aNullValueAndAFailedEventHaveNoFields() {
        assertEquals(Arrays.asList(null, null, null, null, null), fields(null));
        Event failed = Events.event(1, "{\"count\":3}").withFailure(new Failure("s", "bad-input", ""));
        assertEquals(null, new EventToRow(NAMES, TYPES).map(failed).getField(2));
    }

    @Test
    void onlyATrueConditionLetsAnEventIntoTheBranch() {
        Event event = Events.event(1, "v").withSkip(true);
        assertFalse(new RowToEvent().map(Row.of(event, true)).skipped());
        assertTrue(new RowToEvent().map(Row.of(event, false)).skipped());
        assertTrue(new RowToEvent().map(Row.of(event, null)).skipped());
    }

    @Test
    void unknownTypesAreRefusedWhenTheJobIsBuilt() {
        assertThrows(IllegalArgumentException.class, () -> new EventToRow(new String[] {"a"}, new String[] {"DATE"}));
    }
}
