"""System shared memory: tensors that a client on this machine leaves in, and takes from, a POSIX region instead of sending them.

A region is read and written by pread and pwrite, not mapped: a client that shrinks its region in the meantime gets an error, where a
mapping would end this process with SIGBUS. Only a region's name is taken from a request; it cannot leave the directory of regions.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from operators.refusal import Fault, Refused

PLACE = Path("/dev/shm")
KEY = re.compile(r"/?[A-Za-z0-9_][A-Za-z0-9_.-]{0,253}")
REGIONS_MAX = 256


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes offset..offset+byte_size-1 of the object that `key` names."""

    name: str
    key: str
    offset: int
    byte_size: int
    file: int


class SharedMemory:
    """Regions by the names that clients gave them. Where it is not allowed, there are never any."""

    def __init__(self, allowed: bool, place: Path = PLACE) -> None:
        self._allowed = allowed
        self._place = place
        self._regions: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        if not self._allowed:
            raise Refused(Fault.FORBIDDEN, "shared memory is off: the service listens beyond this machine; start it with --remote-control to allow it")
        if not name:
            raise Refused(Fault.INVALID, "a region needs a name")
        if name in self._regions:
            raise Refused(Fault.INVALID, f"region {name!r} is registered already; unregister it first")
        if len(self._regions) >= REGIONS_MAX:
            raise Refused(Fault.BUSY, f"{REGIONS_MAX} regions are registered, no more are kept; unregister some")
        if KEY.fullmatch(key) is None:
            raise Refused(Fault.INVALID, f"key {key!r} of region {name!r}: use a slash, then letters, digits, '_', '-' and '.'")
        if offset < 0 or byte_size < 1:
            raise Refused(Fault.INVALID, f"region {name!r} has offset {offset} and {byte_size} bytes; use at least 0 and 1")
        self._regions[name] = Region(name, key, offset, byte_size, self._opened(name, key, offset + byte_size))

    def unregister(self, name: str = "") -> None:
        """One region, or all without a name; one that is not there is no error, as in Triton."""
        for known in [name] if name else list(self._regions):
            region = self._regions.pop(known, None)
            if region is not None:
                os.close(region.file)

    def regions(self, name: str = "") -> list[Region]:
        if name and name not in self._regions:
            raise Refused(Fault.NOT_FOUND, f"no region {name!r} is registered")
        return [self._regions[name]] if name else list(self._regions.values())

    def read(self, name: str, offset: int, byte_size: int) -> bytes:
        region = self._within(name, offset, byte_size)
        content = os.pread(region.file, byte_size, region.offset + offset)
        if len(content) != byte_size:
            raise Refused(Fault.INVALID, f"region {name!r} has become smaller: {len(content)} of {byte_size} bytes are left")
        return content

    def write(self, name: str, offset: int, content: bytes) -> None:
        region = self._within(name, offset, len(content))
        if os.fstat(region.file).st_size < region.offset + region.byte_size:
            raise Refused(Fault.INVALID, f"region {name!r} has become smaller than what was registered")
        os.pwrite(region.file, content, region.offset + offset)

    def close(self) -> None:
        self.unregister()

    def _within(self, name: str, offset: int, byte_size: int) -> Region:
        region = self._regions.get(name)
        if region is None:
            raise Refused(Fault.INVALID, f"no region {name!r} is registered")
        if offset < 0 or byte_size < 0 or offset + byte_size > region.byte_size:
            raise Refused(Fault.INVALID, f"region {name!r} has {region.byte_size} bytes; {byte_size} from {offset} on are not all in it")
        return region

    def _opened(self, name: str, key: str, end: int) -> int:
        """The object's file, at least `end` bytes long; never a link, never anything but a plain file of this user's."""
        try:
            file = os.open(self._place / key.removeprefix("/"), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(Fault.INVALID, f"region {name!r}: cannot open {key!r}: {error.strerror}") from error
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size < end:
            os.close(file)
            raise Refused(Fault.INVALID, f"region {name!r}: {key!r} is not a region of this user's with at least {end} bytes")
        return file
