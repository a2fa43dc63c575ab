package io.sluice.flink;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A service's side of turns, written from the format's description: the state is the texts of the key's events one after the other, and so is the result
 * of an event. An event {@code bad} fails; a turn with an event {@code poison} fails whole.
 */
final class Turns {

    private Turns() {}

    /** A turn, taken apart. */
    record Taken(String state, List<String> events) {

        static Taken of(byte[] row) {
            ByteBuffer buffer = ByteBuffer.wrap(row).order(ByteOrder.LITTLE_ENDIAN);
            byte[][] events = new byte[buffer.getInt()][];
            byte[] state = new byte[buffer.getInt()];
            for (int i = 0; i < events.length; i++) {
                events[i] = new byte[buffer.getInt()];
            }
            buffer.get(state);
            List<String> texts = new ArrayList<>();
            for (byte[] event : events) {
                buffer.get(event);
                texts.add(Events.text(event));
            }
            return new Taken(Events.text(state), texts);
        }
    }

    /** Answers every turn of the call. */
    static void apply(TestService.Call call) {
        Answer answer = call.answer();
        List<byte[]> rows = call.rowBytes();
        for (int i = 0; i < rows.size(); i++) {
            Taken turn = Taken.of(rows.get(i));
            if (turn.events.contains("poison")) {
                answer.row(i, 2, "poison: the replica died");
            } else {
                answer.result(i, applied(turn));
            }
        }
        call.reply(answer);
    }

    private static byte[] applied(Taken turn) {
        String state = turn.state;
        List<Integer> counts = new ArrayList<>();
        List<String> elements = new ArrayList<>();
        for (String event : turn.events) {
            if (event.equals("bad")) {
                counts.add(-1);
                elements.add("bad-input: bad indeed");
            } else {
                state = event.equals("forget") ? "" : state + event;
                counts.add(1);
                elements.add(state);
            }
        }
        return answer(state, counts, elements);
    }

    static byte[] answer(String state, List<Integer> counts, List<String> elements) {
        List<byte[]> bytes = elements.stream().map(Events::utf8).toList();
        byte[] stateBytes = state.getBytes(StandardCharsets.UTF_8);
        int size = 12 + 4 * counts.size() + 4 * bytes.size() + stateBytes.length + bytes.stream().mapToInt(element -> element.length).sum();
        ByteBuffer answer = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        answer.putInt(counts.size()).putInt(stateBytes.length).putInt(bytes.size());
        counts.forEach(answer::putInt);
        bytes.forEach(element -> answer.putInt(element.length));
        answer.put(stateBytes);
        bytes.forEach(answer::put);
        return answer.array();
    }

    /** The turns of all requests so far. */
    static List<Taken> sent(TestService service) {
        List<Taken> turns = new ArrayList<>();
        service.requests.forEach(message -> new TestService.Call(message, null).rowBytes().forEach(row -> turns.add(Taken.of(row))));
        return turns;
    }
}
