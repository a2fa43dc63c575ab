"""Tests with servers and clients of others: `make test-peers`, which makes their environments first."""

import pytest

from bench.peers.places import PEERS


@pytest.fixture(scope="session", autouse=True)
def peers() -> None:
    missing = [name for name in ("triton", "mlserver", "kserve", "libb64", "programs") if not (PEERS / f"{name}.stamp").exists()]
    if missing:
        pytest.skip(f"needs `make peers`: {', '.join(missing)} not made yet")
