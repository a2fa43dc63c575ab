import pytest

from operators import repository
from operators.operator import Variant
from operators.repository import RepositoryError, resolve, store

CNN = Variant("cnn", 0.98)


def stored(root, version="1", content=b"weights"):
    return store(root, "digits", "cnn", version, {"weights.pt": content}, {"accuracy": 0.98})


def test_the_newest_version_is_found_with_its_files(tmp_path):
    for version in ("2", "10", "9"):
        stored(tmp_path, version, version.encode())
    found = resolve(tmp_path, "digits", CNN)
    assert found.version == "10"
    assert (found.model_dir / "weights.pt").read_bytes() == b"10"
    assert repository.facts(found.model_dir)["accuracy"] == 0.98


def test_a_version_can_be_named(tmp_path):
    stored(tmp_path, "1")
    stored(tmp_path, "2")
    assert resolve(tmp_path, "digits", CNN, "1").version == "1"
    with pytest.raises(RepositoryError, match="no version 3; stored: 1, 2"):
        resolve(tmp_path, "digits", CNN, "3")


def test_a_changed_file_is_refused(tmp_path):
    (stored(tmp_path) / "weights.pt").write_bytes(b"other")
    with pytest.raises(RepositoryError, match="sha256 differs"):
        resolve(tmp_path, "digits", CNN)


def test_a_missing_file_is_refused(tmp_path):
    (stored(tmp_path) / "weights.pt").unlink()
    with pytest.raises(RepositoryError, match="is missing"):
        resolve(tmp_path, "digits", CNN)


def test_a_missing_model_says_what_to_do(tmp_path):
    with pytest.raises(RepositoryError, match=r"no stored model digits/cnn .*train it"):
        resolve(tmp_path, "digits", CNN)


@pytest.mark.parametrize("name", ["..", ".", "../other", "a/b", "", "/etc", "a\0b", ".hidden", "a\n"])
def test_names_cannot_leave_the_root(tmp_path, name):
    with pytest.raises(RepositoryError, match="name"):
        store(tmp_path / "root", name, "cnn", "1", {}, {})
    with pytest.raises(RepositoryError, match="name"):
        store(tmp_path / "root", "digits", "cnn", "1", {name: b""}, {})
    with pytest.raises(RepositoryError, match="name"):
        resolve(tmp_path / "root", "digits", Variant(name, 1.0))
    assert not list(tmp_path.rglob("new-*"))


def test_a_stored_version_never_changes(tmp_path):
    stored(tmp_path)
    with pytest.raises(RepositoryError, match="choose another version"):
        stored(tmp_path, content=b"other")
    assert resolve(tmp_path, "digits", CNN).version == "1"
