package io.sluice.flink;

import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.types.Row;

/** The event of a row (event, condition met), marked to be skipped by the next stage unless the condition is true. */
public final class RowToEvent implements MapFunction<Row, Event>, ResultTypeQueryable<Event> {

    private static final long serialVersionUID = 1L;

    @Override
    public Event map(Row row) {
        Event event = (Event) row.getField(0);
        return event.withSkip(!Boolean.TRUE.equals(row.getField(1)));
    }

    @Override
    public TypeInformation<Event> getProducedType() {
        return EventTypeInfo.INSTANCE;
    }
}
