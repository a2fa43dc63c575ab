from types import SimpleNamespace

import pytest

from operators.gpu import MPS_SHARE, DeviceError, claim, take


class Cuda:
    """torch.cuda as far as it is used; no GPU is needed to see what is asked of it."""

    def __init__(self, count):
        self.count, self.device, self.fractions = count, None, {}

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def set_device(self, number):
        self.device = number

    def set_per_process_memory_fraction(self, share, number):
        self.fractions[number] = share


def scripted(count):
    torch = SimpleNamespace(cuda=Cuda(count), default=None)
    torch.set_default_device = lambda name: setattr(torch, "default", name)
    return torch


def test_a_share_of_a_device_becomes_the_default():
    torch = scripted(2)
    take(torch, 1, 0.25)
    assert (torch.cuda.device, torch.cuda.fractions, torch.default) == (1, {1: 0.25}, "cuda:1")


@pytest.mark.parametrize(("count", "text"), [(0, "torch finds no CUDA device here; use device: cpu"), (1, "the highest here is cuda:0")])
def test_a_device_that_is_not_there_is_named(count, text):
    with pytest.raises(DeviceError, match=text):
        take(scripted(count), 1, 1.0)


def test_the_processor_needs_nothing(monkeypatch):
    monkeypatch.delenv(MPS_SHARE, raising=False)
    claim(None, None)
    claim("cpu", None)


@pytest.mark.parametrize(
    ("device", "share", "text"),
    [
        (None, 0.5, "the variant names no device"),
        ("gpu", None, "device is 'gpu'; use cpu or cuda:N"),
        (0, None, "device is 0"),
        ("cuda:0", 0, "gpu_share is 0; use a number above 0 and up to 1"),
        ("cuda:0", 1.5, r"gpu_share is 1\.5"),
        ("cuda:0", True, "gpu_share is True"),
    ],
)
def test_what_is_no_share_of_a_device_is_refused(device, share, text):
    with pytest.raises(DeviceError, match=text):
        claim(device, share)
