"""Archives made by hand to leave their folder, to fill the disk, or to hide something."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.packaging import unpacking
from pipeline.packaging.unpacking import opened, unpack


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return path


def test_what_was_packed_comes_out(tmp_path):
    path = archive(tmp_path / "a.zip", **{"a/b/c.txt": b"text", "a/..d": b"no way out"})
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/a/b/c.txt").read_bytes() == b"text"
    assert (tmp_path / "out/a/..d").read_bytes() == b"no way out"
    with opened(path) as folder:
        assert sorted(child.name for child in folder.iterdir()) == ["..d", "b"]
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:/x", "C:\\x", "..\\x", "\\\\host\\x", "a\\..\\..\\x"])
def test_names_that_lead_out(tmp_path, name):
    path = archive(tmp_path / "a.zip", **{"a/good": b"", name: b"evil"})
    with pytest.raises(DataError, match="one that leads out of it"):
        unpack(path, tmp_path / "in" / "out")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize(("kind", "found"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a special file")])
def test_links_and_special_files(tmp_path, kind, found):
    entry = zipfile.ZipInfo("a/link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match=found):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_one_name_twice(tmp_path):
    path = archive(tmp_path / "a.zip", **{"a/x.py": b"1", "a/X.py": b"2"})
    with pytest.raises(DataError, match="each name once, found 2 entries"):
        unpack(path, tmp_path / "out")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    path = archive(tmp_path / "a.zip", **{f"a/{number}": b"" for number in range(4)})
    with pytest.raises(DataError, match="at most 3 files, found 4"):
        unpack(path, tmp_path / "out")


def test_a_bomb(tmp_path, monkeypatch):
    """5 MB of zeros packed into a thousandth of that."""
    path = archive(tmp_path / "a.zip", **{"a/zeros": bytes(5 * 10**6)})
    unpack(path, tmp_path / "small")
    monkeypatch.setattr(unpacking, "HARMLESS", 10**6)
    with pytest.raises(DataError, match="the size of a bundle, found 5,000,000 bytes"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_is_not_true(tmp_path):
    """An entry that claims ten bytes and holds more is read no further than that, and its checksum is wrong then."""
    path = archive(tmp_path / "a.zip", **{"a/x": b"z" * 10_000})
    content = path.read_bytes().replace((10_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(DataError, match="a whole zip archive"):
        unpack(path, tmp_path / "out")


def test_damaged_and_encrypted(tmp_path):
    path = archive(tmp_path / "a.zip", **{"a/x": bytes(range(256)) * 9})
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="a whole zip archive"):
        unpack(path, tmp_path / "out")
    path = archive(tmp_path / "b.zip", **{"a/x": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_no_zip(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="neither a folder nor a zip"), opened(tmp_path / "a.zip"):
        pass


def test_not_one_folder(tmp_path):
    for name, entries, found in (("a", {"x": b"", "y/z": b""}, "2 entries"), ("b", {"x": b""}, "one file")):
        path = archive(tmp_path / f"{name}.zip", **entries)
        with pytest.raises(DataError, match=f"a zip with one folder, found {found}"), opened(path):
            pass
    with pytest.raises(DataError, match="nothing of that name"), opened(tmp_path / "none.zip"):
        pass
