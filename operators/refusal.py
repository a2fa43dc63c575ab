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


TEXT_MAX = 1000  # characters; gRPC carries an error's text in a header, and clients take 8 KiB of those
WORD_MAX = 80


class Refused(Exception):
    """The call gets an error and nothing else; the text is for its sender."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 3]}...")
        self.fault = fault


def shown(word: object) -> str:
    """What a client sent, as an error's text repeats it: quoted, and never more than a few words of it."""
    text = ascii(word[: WORD_MAX + 1] if isinstance(word, str | bytes | list) else word)
    return text if len(text) <= WORD_MAX else f"{text[: WORD_MAX - 3]}..."
