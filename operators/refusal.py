"""Why a call is refused, the same over gRPC and HTTP."""

from __future__ import annotations

from enum import Enum

import grpc


class Fault(Enum):
    """gRPC's code and HTTP's status. BUSY and AWAY are worth another try later; the others are not."""

    INVALID = (grpc.StatusCode.INVALID_ARGUMENT, 400)
    FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, 403)
    NOT_FOUND = (grpc.StatusCode.NOT_FOUND, 404)
    FAILED = (grpc.StatusCode.INTERNAL, 500)
    BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, 503)
    AWAY = (grpc.StatusCode.UNAVAILABLE, 503)

    @property
    def code(self) -> grpc.StatusCode:
        return self.value[0]

    @property
    def status(self) -> int:
        return self.value[1]


class Refused(Exception):
    """The call gets an error and nothing else; the text is for its sender."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
