import os

import pytest

from jobs.embedded.latest import latest, snapshots
from jobs.lifecycle import LifecycleError, snapshot


def made(root, name, at_s, complete=True):
    directory = root / name
    directory.mkdir(parents=True)
    if complete:
        (directory / "_metadata").write_bytes(b"m")
        os.utime(directory / "_metadata", (at_s, at_s))
    return directory


def test_the_newest_complete_one_wins_across_jobs_and_savepoints(tmp_path):
    made(tmp_path, "c/job1/chk-9", 100)
    made(tmp_path, "c/job2/chk-3", 200)
    made(tmp_path, "c/job2/chk-4", 300, complete=False)
    assert latest(tmp_path / "c") == tmp_path / "c/job2/chk-3"
    saved = made(tmp_path, "s/savepoint-ab-12", 250)
    assert latest(tmp_path / "c", tmp_path / "s") == saved


def test_of_the_same_instant_the_higher_number_is_later(tmp_path):
    for number in (9, 10):
        made(tmp_path, f"job/chk-{number}", 100)
    assert [s.name for s in snapshots(tmp_path)] == ["chk-9", "chk-10"]


def test_nothing_there_is_nothing(tmp_path):
    assert latest(tmp_path, tmp_path / "absent") is None


def test_a_start_without_state_must_be_asked_for(tmp_path):
    with pytest.raises(LifecycleError, match="--fresh"):
        snapshot(None, [])
    with pytest.raises(LifecycleError, match="--fresh"):
        snapshot(None, [str(tmp_path)])
    assert snapshot(None, [], fresh=True) is None


def test_a_named_snapshot_must_be_complete(tmp_path):
    with pytest.raises(LifecycleError, match="no complete"):
        snapshot(str(made(tmp_path, "savepoint-x", 1, complete=False)), [])
    assert snapshot("s3://bucket/savepoint-y", []) == "s3://bucket/savepoint-y"
    there = made(tmp_path, "job/chk-1", 1)
    assert snapshot(None, [str(tmp_path)]) == there.as_uri()
