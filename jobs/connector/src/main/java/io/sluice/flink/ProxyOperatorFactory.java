package io.sluice.flink;

import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;

/** Makes {@link ProxyOperator}s, keyed ones for a stage with state, where they run: they need the task's mailbox. */
public final class ProxyOperatorFactory extends AbstractStreamOperatorFactory<Event> implements OneInputStreamOperatorFactory<Event, Event> {

    private static final long serialVersionUID = 1L;

    private final ProxySettings settings;

    public ProxyOperatorFactory(ProxySettings settings) {
        this.settings = settings;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <T extends StreamOperator<Event>> T createStreamOperator(StreamOperatorParameters<Event> parameters) {
        return (T) (settings.state == null ? new ProxyOperator(parameters, settings) : new KeyedProxyOperator(parameters, settings));
    }

    @Override
    public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
        return settings.state == null ? ProxyOperator.class : KeyedProxyOperator.class;
    }
}
