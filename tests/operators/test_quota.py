import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from operators.quota import Quotas, find, probe

V1 = "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


@pytest.mark.parametrize(
    ("mounts", "groups", "found"),
    [
        (V1, "3:memory:/m\n1:cpu:/a/b\n0::/", (Path("/sys/fs/cgroup/cpu/a/b"), 1)),
        (V1.replace("rw,cpu\n", "rw,cpu,cpuacct\n"), "1:cpu,cpuacct:/\n", (Path("/sys/fs/cgroup/cpu"), 1)),
        (V2, "0::/user.slice/x", (Path("/sys/fs/cgroup/user.slice/x"), 2)),
        (f"{V1}\n{V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}", "1:cpu:/\n0::/", (Path("/sys/fs/cgroup/cpu"), 1)),
        ("20 1 0:5 / /proc rw - proc proc rw", "0::/", None),
    ],
)
def test_the_cgroup_of_this_process_is_found(mounts, groups, found):
    assert find(mounts, groups) == found


def test_version_2_writes_quota_and_period(tmp_path):
    quotas = Quotas(tmp_path, 2)
    group = tmp_path / f"sluice-{os.getpid()}" / "77"
    quotas.limit(77, 3)
    assert (group / "cpu.max").read_text() == "3750 10000"  # 3/8 of 10 ms
    assert (group / "cgroup.procs").read_text() == "77"
    quotas.limit(77, 12)
    assert (group / "cpu.max").read_text() == "15000 10000"
    quotas.limit(77, 8)
    assert (group / "cpu.max").read_text() == "max 10000"


def test_version_1_writes_quota_and_period(tmp_path):
    quotas = Quotas(tmp_path, 1)
    group = tmp_path / f"sluice-{os.getpid()}" / "77"
    quotas.limit(77, 1)
    assert ((group / "cpu.cfs_quota_us").read_text(), (group / "cpu.cfs_period_us").read_text()) == ("1250", "10000")
    quotas.limit(77, 16)
    assert (group / "cpu.cfs_quota_us").read_text() == "-1"


def test_whole_cores_need_no_group(tmp_path):
    Quotas(tmp_path, 2).limit(77, 16)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_may_be_written_opening_says_so(tmp_path):
    with pytest.raises(OSError, match="sluice-"):
        Quotas(tmp_path / "none", 1).open()


BURN = "import time\nprint(flush=True)\nwhile True: time.process_time()"


def test_the_kernel_keeps_a_process_to_its_part():
    quotas = probe()
    if quotas is None:
        pytest.skip("needs a cgroup that this user may write")
    with subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE) as busy:
        try:
            busy.stdout.read(1)
            quotas.limit(busy.pid, 2)
            used = []
            for _ in range(2):
                fields = Path(f"/proc/{busy.pid}/stat").read_text().rsplit(")", 1)[1].split()
                used.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
                time.sleep(1.0)  # what is measured: CPU seconds in a second of wall time
            assert used[1] - used[0] <= 0.25 * 1.3 + 0.02
        finally:
            busy.kill()
            busy.wait()
            quotas.forget(busy.pid)
            quotas.close()
    assert not quotas.group.exists()
