"""Servers and clients of the Open Inference Protocol that are not ours, for the benches and for `make test-peers`.

Each has an environment of its own under .sluice/peers, because their packages cannot live beside Sluice's: `make peers` makes them.
"""
