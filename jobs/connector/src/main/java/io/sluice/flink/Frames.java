package io.sluice.flink;

/**
 * The fan-outs an event is inside of, outermost first, as one int array of four numbers each: the fan-out's number (hash of its stage's name),
 * the child's index, the number of children, and the traces the parent had. Index -1 of 0 marks the parent of no children.
 */
final class Frames {

    static final int[] NONE = {};
    private static final int WIDTH = 4;

    private Frames() {}

    static int number(String stage) {
        return stage.hashCode();
    }

    static int[] push(int[] frames, int number, int index, int count, int traces) {
        int[] pushed = java.util.Arrays.copyOf(frames, frames.length + WIDTH);
        pushed[frames.length] = number;
        pushed[frames.length + 1] = index;
        pushed[frames.length + 2] = count;
        pushed[frames.length + 3] = traces;
        return pushed;
    }

    static int[] pop(int[] frames) {
        return frames.length == WIDTH ? NONE : java.util.Arrays.copyOf(frames, frames.length - WIDTH);
    }

    static int depth(int[] frames) {
        return frames.length / WIDTH;
    }

    static int number(int[] frames, int level) {
        return frames[level * WIDTH];
    }

    static int index(int[] frames, int level) {
        return frames[level * WIDTH + 1];
    }

    static int count(int[] frames, int level) {
        return frames[level * WIDTH + 2];
    }

    static int traces(int[] frames, int level) {
        return frames[level * WIDTH + 3];
    }

    /** {@code id/2/0}: the id of what these frames say, made from its outermost parent's. A marker adds nothing: it is the parent. */
    static String path(String id, int[] frames, int levels) {
        if (levels == 0) {
            return id;
        }
        StringBuilder path = new StringBuilder(id);
        for (int level = 0; level < levels; level++) {
            if (index(frames, level) >= 0) {
                path.append('/').append(index(frames, level));
            }
        }
        return path.toString();
    }
}
