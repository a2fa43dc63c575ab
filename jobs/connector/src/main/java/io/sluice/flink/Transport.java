package io.sluice.flink;

/** How requests reach a service and its responses come back. One thread calls it; the listener is called from any. */
interface Transport extends AutoCloseable {

    /** Makes a stream, which calls the listener from its start on. */
    Stream open(Listener listener);

    /** The service could not be reached for a while: try again now, not when some back-off of the transport's own ends. */
    void hurry();

    @Override
    void close();

    /** One connection in time; broken once, never mended. */
    interface Stream {
        /** Begins to connect; returns at once, whether or not the service can be reached. */
        void start();

        /** True when it is connected and takes a request without piling it up. */
        boolean ready();

        void send(Request request, Counters counters);

        void cancel();
    }

    /** What becomes of a stream. Calls come from any thread. */
    interface Listener {
        void ready(Stream stream);

        void answered(Stream stream, Response response);

        /** A message that could not be decoded. */
        void garbled(Stream stream, ResponseDecoder.GarbledException why);

        void broken(Stream stream, String why);
    }

    /** What the proxy tells the service about itself, for telemetry; rows. */
    record Counters(long received, int inFlight, int waiting) {}
}
