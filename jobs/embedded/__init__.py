"""Everything on one machine: broker, Flink cluster, operator service and sidecar as supervised child processes."""
