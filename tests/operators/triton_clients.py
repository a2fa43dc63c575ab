"""Triton's own Python clients, imported beside the grpcio that Beam (and so PyFlink) allows.

tritonclient's metadata asks for grpcio 1.63 or later, but its generated stubs refuse to be imported below the version of their generator,
1.67.1, in every release that allows numpy 2. What they use has been in grpcio since 1.63.
"""

from unittest import mock

import grpc

with mock.patch.object(grpc, "__version__", "1.67.1"):
    from tritonclient import grpc as triton_grpc
    from tritonclient import http as triton_http
    from tritonclient.grpc import model_config_pb2, service_pb2

from tritonclient.utils import InferenceServerException, shared_memory

__all__ = ["InferenceServerException", "model_config_pb2", "service_pb2", "shared_memory", "triton_grpc", "triton_http"]
