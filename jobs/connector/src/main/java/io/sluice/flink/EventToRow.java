package io.sluice.flink;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.types.Row;

/**
 * An event and the declared fields of its JSON value as a row, for a branch's SQL condition.
 *
 * <p>The first column is the event itself. A field that is absent, of another type or out of range is null; of a value that is not a JSON object,
 * or of an event that failed, all are.
 */
public final class EventToRow implements MapFunction<Event, Row>, ResultTypeQueryable<Row> {

    private static final long serialVersionUID = 1L;
    private static final JsonFactory JSON = new JsonFactory();
    static final String EVENT = "event";

    private final String[] names;
    private final String[] types;
    private transient Map<String, Integer> columns;

    /** @param types SQL names: STRING, INT, BIGINT, DOUBLE or BOOLEAN */
    public EventToRow(String[] names, String[] types) {
        if (names.length != types.length) {
            throw new IllegalArgumentException(names.length + " fields, " + types.length + " types");
        }
        this.names = names.clone();
        this.types = types.clone();
        for (String type : types) {
            information(type);
        }
    }

    @Override
    public Row map(Event event) {
        Row row = new Row(names.length + 1);
        row.setField(0, event);
        if (!event.failed() && event.value != null) {
            try {
                read(event.value, row);
            } catch (IOException e) {
                for (int i = 0; i < names.length; i++) {
                    row.setField(i + 1, null); // not JSON after all
                }
            }
        }
        return row;
    }

    private void read(byte[] value, Row row) throws IOException {
        try (JsonParser json = JSON.createParser(value)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                return;
            }
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                Integer column = columns().get(json.currentName());
                JsonToken token = json.nextToken();
                if (column != null) {
                    row.setField(column + 1, field(json, token, types[column]));
                }
                json.skipChildren();
            }
        }
    }

    private Map<String, Integer> columns() {
        if (columns == null) {
            columns = new HashMap<>();
            for (int i = 0; i < names.length; i++) {
                columns.put(names[i], i);
            }
        }
        return columns;
    }

    private static Object field(JsonParser json, JsonToken token, String type) throws IOException {
        return switch (type) {
            case "STRING" -> token == JsonToken.VALUE_STRING ? json.getText() : null;
            case "INT" -> {
                Long number = whole(json, token);
                yield number == null || number != number.intValue() ? null : (Object) number.intValue();
            }
            case "BIGINT" -> whole(json, token);
            case "DOUBLE" -> token.isNumeric() ? (Object) json.getDoubleValue() : null;
            default -> token.isBoolean() ? (Object) json.getBooleanValue() : null;
        };
    }

    private static Long whole(JsonParser json, JsonToken token) throws IOException {
        if (token != JsonToken.VALUE_NUMBER_INT || json.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
            return null;
        }
        return json.getLongValue();
    }

    @Override
    public TypeInformation<Row> getProducedType() {
        String[] allNames = new String[names.length + 1];
        TypeInformation<?>[] allTypes = new TypeInformation<?>[names.length + 1];
        allNames[0] = EVENT;
        allTypes[0] = EventTypeInfo.INSTANCE;
        for (int i = 0; i < names.length; i++) {
            allNames[i + 1] = names[i];
            allTypes[i + 1] = information(types[i]);
        }
        return new RowTypeInfo(allTypes, allNames);
    }

    private static TypeInformation<?> information(String type) {
        return switch (type) {
            case "STRING" -> Types.STRING;
            case "INT" -> Types.INT;
            case "BIGINT" -> Types.LONG;
            case "DOUBLE" -> Types.DOUBLE;
            case "BOOLEAN" -> Types.BOOLEAN;
            default -> throw new IllegalArgumentException("field type '" + type + "'; use STRING, INT, BIGINT, DOUBLE or BOOLEAN");
        };
    }
}
