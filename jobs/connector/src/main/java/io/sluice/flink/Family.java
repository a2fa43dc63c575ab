package io.sluice.flink;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The events that one source event was fanned out into. */
final class Family {

    private Family() {}

    /** True once every child, and every child's children, has come. */
    static boolean complete(List<Event> leaves) {
        return complete(leaves, 0);
    }

    private static boolean complete(List<Event> leaves, int level) {
        Event any = leaves.get(0);
        if (Frames.depth(any.frames) <= level || Frames.index(any.frames, level) < 0) {
            return true; // itself, or the marker of no children
        }
        int count = Frames.count(any.frames, level);
        if (leaves.size() < count) {
            return false;
        }
        Map<Integer, List<Event>> children = new TreeMap<>();
        for (Event leaf : leaves) {
            children.computeIfAbsent(Frames.index(leaf.frames, level), index -> new ArrayList<>()).add(leaf);
        }
        return children.size() == count && children.values().stream().allMatch(child -> complete(child, level + 1));
    }

    static List<Event> inOrder(List<Event> leaves) {
        List<Event> ordered = new ArrayList<>(leaves);
        ordered.sort((a, b) -> Arrays.compare(indexes(a), indexes(b)));
        return ordered;
    }

    private static int[] indexes(Event event) {
        int[] indexes = new int[Frames.depth(event.frames)];
        for (int level = 0; level < indexes.length; level++) {
            indexes[level] = Frames.index(event.frames, level);
        }
        return indexes;
    }
}
