package io.sluice.flink;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A record's headers as they came: in order, repeated names and null values kept. */
public final class EventHeaders {

    public static final EventHeaders NONE = new EventHeaders(new String[0], new byte[0][]);

    static final String EVENT_ID = "event-id";
    static final String DEADLINE = "deadline";
    static final String MIN_ACCURACY = "min-accuracy";
    static final String EVENT_VALUE = "event-value";

    private static final int EVENT_ID_MAX_BYTES = 128;
    private static final int NUMBER_MAX_DIGITS = 18;

    final String[] names;
    final byte[][] values;

    public EventHeaders(String[] names, byte[][] values) {
        assert names.length == values.length;
        this.names = names;
        this.values = values;
    }

    public int size() {
        return names.length;
    }

    public String name(int index) {
        return names[index];
    }

    public byte[] value(int index) {
        return values[index];
    }

    /** The event id the producer gave, or null where there is none or it cannot be read. */
    String eventId() {
        try {
            byte[] value = single(EVENT_ID);
            return value == null ? null : decodeId(value);
        } catch (BadHeaderException e) {
            return null;
        }
    }

    boolean has(String name) {
        for (String other : names) {
            if (other.equals(name)) {
                return true;
            }
        }
        return false;
    }

    /** The one value of a header; null where the header is absent. */
    byte[] single(String name) throws BadHeaderException {
        byte[] found = null;
        for (int i = 0; i < names.length; i++) {
            if (!names[i].equals(name)) {
                continue;
            }
            if (values[i] == null) {
                throw new BadHeaderException(name + " is null");
            }
            if (found != null && !Arrays.equals(found, values[i])) {
                throw new BadHeaderException(name + " is repeated with different values");
            }
            found = values[i];
        }
        return found;
    }

    static String decodeId(byte[] value) throws BadHeaderException {
        if (value.length == 0 || value.length > EVENT_ID_MAX_BYTES) {
            throw new BadHeaderException(EVENT_ID + " has " + value.length + " bytes; use 1.." + EVENT_ID_MAX_BYTES);
        }
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value)).toString();
        } catch (CharacterCodingException e) {
            throw new BadHeaderException(EVENT_ID + " is not UTF-8");
        }
    }

    static long decodeDeadline(byte[] value) throws BadHeaderException {
        if (value.length == 0 || value.length > NUMBER_MAX_DIGITS) {
            throw new BadHeaderException(DEADLINE + " has " + value.length + " bytes; use 1.." + NUMBER_MAX_DIGITS + " digits");
        }
        long deadlineMs = 0;
        for (byte b : value) {
            if (b < '0' || b > '9') {
                throw new BadHeaderException(DEADLINE + " is '" + printable(value) + "'; use Unix ms in ASCII digits");
            }
            deadlineMs = deadlineMs * 10 + (b - '0');
        }
        return deadlineMs;
    }

    static float decodeMinAccuracy(byte[] value) throws BadHeaderException {
        float accuracy = decimal(MIN_ACCURACY, value, "0..1");
        if (accuracy > 1f) {
            throw new BadHeaderException(MIN_ACCURACY + " is " + printable(value) + "; use a decimal 0..1");
        }
        return accuracy;
    }

    static float decodeWorth(byte[] value) throws BadHeaderException {
        return decimal(EVENT_VALUE, value, "from 0 on");
    }

    private static float decimal(String name, byte[] value, String range) throws BadHeaderException {
        if (!isDecimal(value)) {
            throw new BadHeaderException(name + " is '" + printable(value) + "'; use a decimal " + range);
        }
        return Float.parseFloat(new String(value, StandardCharsets.US_ASCII));
    }

    private static boolean isDecimal(byte[] value) {
        int digits = 0;
        int points = 0;
        for (byte b : value) {
            if (b == '.') {
                points++;
            } else if (b >= '0' && b <= '9') {
                digits++;
            } else {
                return false;
            }
        }
        return digits > 0 && digits <= NUMBER_MAX_DIGITS && points <= 1;
    }

    private static String printable(byte[] value) {
        String text = new String(value, StandardCharsets.US_ASCII);
        return text.length() <= 40 ? text : text.substring(0, 40) + "...";
    }

    int sizeBytes() {
        int size = 0;
        for (int i = 0; i < names.length; i++) {
            size += names[i].length() + 48 + (values[i] == null ? 0 : values[i].length);
        }
        return size;
    }

    /** A header of ours that cannot be read; the message says which and why. */
    static final class BadHeaderException extends Exception {
        private static final long serialVersionUID = 1L;

        BadHeaderException(String message) {
            super(message, null, false, false);
        }
    }
}
