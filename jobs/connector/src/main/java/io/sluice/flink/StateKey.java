package io.sluice.flink;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.java.functions.KeySelector;

/** The key under which a stage with state keeps an event: the record's, or a text or whole number in the JSON object that is the stage's row. */
public final class StateKey implements KeySelector<Event, String> {

    private static final long serialVersionUID = 1L;
    private static final JsonFactory JSON = new JsonFactory();

    private final ProxySettings settings;

    StateKey(ProxySettings settings) {
        this.settings = settings;
    }

    /** Null when the event has none. */
    String of(Event event) {
        String field = settings.state.field();
        if (field != null) {
            return inJson(settings.input(event), field);
        }
        byte[] key = event.origin.key();
        return key == null ? null : new String(key, StandardCharsets.ISO_8859_1); // any bytes, each as one character
    }

    /** Never null: events without a key all go one way, where they fail. */
    @Override
    public String getKey(Event event) {
        String key = event.failed() || event.marksNoChildren() ? null : of(event);
        return key == null ? "" : key;
    }

    private static String inJson(byte[] row, String field) {
        try (JsonParser json = JSON.createParser(row)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                boolean wanted = json.currentName().equals(field);
                JsonToken token = json.nextToken();
                if (wanted) {
                    return token == JsonToken.VALUE_STRING || token == JsonToken.VALUE_NUMBER_INT ? json.getText() : null;
                }
                json.skipChildren();
            }
            return null;
        } catch (IOException e) {
            return null; // not JSON
        }
    }
}
