"""Writes inference_pb2.py: `python -m operators.protocol.generate` (grpcio-tools does the work).

protobuf keeps all messages of a process in one pool by their names and refuses a second file that defines them, and the clients of other
servers define the protocol's messages under its own names too. Ours are therefore in a pool of their own, so that one process may
import both.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "operators/protocol/inference.proto"
TARGET = "operators/protocol/inference_pb2.py"


def generated() -> str:
    with tempfile.TemporaryDirectory() as folder:
        status = protoc.main(["", f"-I{ROOT}", f"--python_out={folder}", str(ROOT / SOURCE)])
        if status:
            raise SystemExit(status)
        return (Path(folder) / TARGET).read_text().replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")


if __name__ == "__main__":
    beside = (ROOT / TARGET).with_suffix(".new")
    beside.write_text(generated())
    beside.rename(ROOT / TARGET)  # at once: a service may be starting from this tree
