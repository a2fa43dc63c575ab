"""A share of a GPU for a replica process, by torch.

The share is of the device's memory: torch refuses to allocate more. Of its computing time nothing is set aside here; where NVIDIA's
multi-process service runs on the machine, the same share is asked of it, which it grants to a process before its first use of the device.
"""

from __future__ import annotations

import os
import re
from typing import Any

DEVICE = re.compile(r"cuda:(\d+)")
MPS_SHARE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"


class DeviceError(Exception):
    """The device cannot be had; the text says why."""


def claim(device: object, share: object) -> None:
    """Makes the device torch's default for this process, limited to the share (default all of it). None = the processor."""
    if device is None or device == "cpu":
        if share is not None:
            raise DeviceError(f"gpu_share is {share!r}, but the variant names no device; add device: cuda:0")
        return
    found = DEVICE.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise DeviceError(f"device is {device!r}; use cpu or cuda:N")
    part = 1.0 if share is None else share
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
        raise DeviceError(f"gpu_share is {share!r}; use a number above 0 and up to 1")
    os.environ[MPS_SHARE] = f"{100 * part:g}"
    import torch

    take(torch, int(found[1]), part)


def take(torch: Any, number: int, share: float) -> None:
    """torch: the module."""
    if not torch.cuda.is_available():
        raise DeviceError(f"device is cuda:{number}, but torch finds no CUDA device here; use device: cpu")
    count = torch.cuda.device_count()
    if number >= count:
        raise DeviceError(f"device is cuda:{number}, but the highest here is cuda:{count - 1}")
    torch.cuda.set_device(number)
    torch.cuda.set_per_process_memory_fraction(share, number)
    torch.set_default_device(f"cuda:{number}")
