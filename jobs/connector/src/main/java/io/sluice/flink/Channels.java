package io.sluice.flink;

import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.nio.NioEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.TimeUnit;

/** One gRPC channel with one network thread of its own, so that closing it leaves nothing behind. */
final class Channels implements AutoCloseable {

    private static final String UNIX = "unix:";
    private static final int FLOW_CONTROL_WINDOW_BYTES = 8 << 20;
    private static final int MAX_MESSAGE_BYTES = 256 << 20;

    final ManagedChannel channel;
    private final EventLoopGroup threads;

    /** @param target {@code host:port} or {@code unix:/path} */
    Channels(String target, String threadName, boolean keepAlive) {
        DefaultThreadFactory factory = new DefaultThreadFactory(threadName, true);
        NettyChannelBuilder builder;
        if (target.startsWith(UNIX)) {
            threads = new EpollEventLoopGroup(1, factory);
            builder = NettyChannelBuilder.forAddress(new DomainSocketAddress(target.substring(UNIX.length())))
                    .channelType(EpollDomainSocketChannel.class)
                    .overrideAuthority("localhost");
        } else {
            threads = new NioEventLoopGroup(1, factory);
            builder = NettyChannelBuilder.forTarget(target).channelType(NioSocketChannel.class);
        }
        if (keepAlive) {
            builder.keepAliveTime(10, TimeUnit.SECONDS).keepAliveTimeout(5, TimeUnit.SECONDS);
        }
        channel = builder.eventLoopGroup(threads)
                .usePlaintext()
                .directExecutor() // callbacks decode and enqueue, nothing more
                .disableRetry()
                .flowControlWindow(FLOW_CONTROL_WINDOW_BYTES)
                .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                .build();
    }

    @Override
    public void close() {
        channel.shutdownNow();
        boolean interrupted = false;
        try {
            channel.awaitTermination(2, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            interrupted = true;
        }
        threads.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
