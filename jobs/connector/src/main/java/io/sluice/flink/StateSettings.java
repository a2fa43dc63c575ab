package io.sluice.flink;

import java.io.Serializable;

/**
 * What a stage keeps of each key: where the key of an event is, and what bounds the states.
 *
 * @param field name of the field of the row's JSON object that holds the key; null: the record's own key
 * @param ttlMs a key without an event for so long, by the events' timestamps, starts anew
 * @param maxBytes of the state of one key
 */
public record StateSettings(String field, long ttlMs, int maxBytes) implements Serializable {}
