import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.refusal import Fault, Refused
from operators.shared_memory import REGIONS_MAX, SharedMemory


@pytest.fixture
def place(tmp_path):
    (tmp_path / "object").write_bytes(bytes(range(100)))
    return tmp_path


@pytest.fixture
def memory(place):
    memory = SharedMemory(True, place)
    yield memory
    memory.close()


def test_a_region_is_read_and_written_at_its_offset(memory, place):
    memory.register("r", "/object", 10, 50)
    assert memory.read("r", 5, 3) == bytes([15, 16, 17])
    memory.write("r", 48, b"ab")
    assert (place / "object").read_bytes()[58:60] == b"ab"
    assert len((place / "object").read_bytes()) == 100


@pytest.mark.parametrize(("offset", "size"), [(0, 51), (50, 1), (-1, 3), (0, -1), (2**62, 2**62)])
def test_nothing_outside_the_region_is_touched(memory, offset, size):
    memory.register("r", "object", 10, 50)
    with pytest.raises(Refused, match="are not all in it"):
        memory.read("r", offset, size)


def test_writing_past_the_end_is_refused(memory, place):
    memory.register("r", "object", 10, 50)
    with pytest.raises(Refused, match="are not all in it"):
        memory.write("r", 49, b"ab")
    assert (place / "object").read_bytes() == bytes(range(100))


def test_a_region_that_shrinks_is_an_error_and_no_signal(memory, place):
    memory.register("r", "object", 0, 100)
    os.truncate(place / "object", 40)
    with pytest.raises(Refused, match="40 of 100 bytes"):
        memory.read("r", 0, 100)
    with pytest.raises(Refused, match="smaller"):
        memory.write("r", 90, b"ab")
    assert (place / "object").stat().st_size == 40
    assert memory.read("r", 0, 40) == bytes(range(40))


@pytest.mark.parametrize(("offset", "size"), [(60, 41), (0, 101), (-1, 10), (0, 0)])
def test_a_region_lies_within_its_object(memory, offset, size):
    with pytest.raises(Refused):
        memory.register("r", "object", offset, size)
    assert memory.regions() == []


def test_links_directories_and_pipes_are_no_regions(memory, place):
    (place / "link").symlink_to(place / "object")
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    for key in ("link", "folder", "pipe"):
        with pytest.raises(Refused):
            memory.register("r", key, 0, 1)


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    """An empty directory beside which there is an object."""
    outer = tmp_path_factory.mktemp("outer")
    (outer / "object").write_bytes(b"outside")
    (outer / "inner").mkdir()
    return outer / "inner"


@settings(deadline=None)
@given(key=st.text(max_size=20) | st.sampled_from(["..", "../object", "/../object", "//object", "a/../../object", "object\0", ".hidden", "/"]))
def test_no_key_leads_out_of_the_directory(inner, key):
    with pytest.raises(Refused):
        SharedMemory(True, inner).register("r", key, 0, 1)


def test_names_are_taken_once_and_freed_again(memory):
    memory.register("r", "object", 0, 10)
    with pytest.raises(Refused, match="registered already"):
        memory.register("r", "object", 0, 10)
    memory.unregister("r")
    memory.unregister("r")
    memory.register("r", "object", 0, 20)
    assert [(region.name, region.byte_size) for region in memory.regions()] == [("r", 20)]
    with pytest.raises(Refused, match="no region 'q'"):
        memory.regions("q")


def test_the_number_of_regions_is_bounded_and_their_files_are_closed(memory):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(REGIONS_MAX):
        memory.register(str(number), "object", 0, 10)
    with pytest.raises(Refused) as refused:
        memory.register("one more", "object", 0, 10)
    assert refused.value.fault is Fault.BUSY
    memory.unregister()
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_is_off_where_it_is_not_allowed(place):
    memory = SharedMemory(False, place)
    with pytest.raises(Refused) as refused:
        memory.register("r", "object", 0, 10)
    assert refused.value.fault is Fault.FORBIDDEN
