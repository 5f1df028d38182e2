"""Zip archives of unknown origin, unpacked into a folder that they cannot leave and cannot fill."""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipeline.errors import DataError, Problem

MOST_BYTES = 8 * 2**30
MOST_FILES = 10_000
HARMLESS = 256 * 2**20  # bytes that an archive may unpack to, however well it is packed
RATIO = 100  # from there on; weights are hardly packed at all, text by ten


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a zip into a new folder; nothing is written where anything about the archive is wrong.

    Args:
        archive: the zip.
        folder: made; must not exist, or be empty.

    Returns:
        the folder.

    Raises:
        DataError: no zip, or a damaged one; names that leave the folder (absolute, "..", of another drive), links and
            other special files, encrypted files, one name twice (also in capitals), more than 10,000 files, or far more
            bytes than such an archive has use for (over 8 GiB, or over 256 MiB and a hundred times its size).
    """
    archive, folder = Path(archive), Path(folder)
    remedy = "Get another copy, from whom you trust"
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            faults = list(_faults(entries, archive.stat().st_size))
            if faults:
                raise DataError([Problem(f"{archive}: {name[:120]}", *fault, remedy) for name, *fault in faults])
            folder.mkdir(parents=True, exist_ok=True)
            for entry in entries:  # zipfile reads no more of an entry than it claims, and compares its checksum
                opened.extract(entry, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(Problem(str(archive), "a whole zip archive", str(error)[:160], remedy)) from error
    except OSError as error:
        found = error.strerror or str(error)
        raise DataError(Problem(str(archive), "a zip archive that can be unpacked", found, remedy)) from error
    return folder


@contextmanager
def opened(bundle: str | Path) -> Iterator[Path]:
    """The folder of a packed bundle: the path itself, or the one folder of a zip, unpacked for as long as the context.

    Raises:
        DataError: neither a folder nor a zip, a zip that `unpack` refuses, or one without exactly one folder.
    """
    path = Path(bundle)
    if path.is_dir():
        yield path
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        found = "neither a folder nor a zip" if path.exists() else "nothing of that name"
        raise DataError(Problem(str(path), "a packed bundle", found, "Give what package wrote"))
    with tempfile.TemporaryDirectory(prefix="volseg-") as scratch:
        places = list(unpack(path, Path(scratch, "zip")).iterdir())
        if len(places) != 1 or not places[0].is_dir():
            found = f"{len(places)} entries" if len(places) != 1 else "one file"
            raise DataError(Problem(str(path), "a zip with one folder", found, "Give what package wrote"))
        yield places[0]


def _faults(entries: list[zipfile.ZipInfo], size: int) -> Iterator[tuple[str, str, str]]:
    """Name, what was expected, and what was found, of each fault."""
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if _leaves(entry.filename) or _leaves(entry.orig_filename):
            yield entry.orig_filename, "a name within the archive's folder", "one that leads out of it"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield entry.filename, "plain files and folders", "a link" if kind == stat.S_IFLNK else "a special file"
        elif entry.flag_bits & 1:
            yield entry.filename, "files without a password", "one that is encrypted"
    names = Counter(entry.filename.rstrip("/").lower() for entry in entries)
    yield from ((name, "each name once", f"{count} entries") for name, count in names.items() if count > 1)
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES:
        yield "all files", f"at most {MOST_FILES:,} files", f"{len(entries):,}"
    if total > MOST_BYTES or total > max(HARMLESS, RATIO * size):
        yield "all files", "the size of a bundle", f"{total:,} bytes, packed into {size:,}"


def _leaves(name: str) -> bool:
    """Whether a name points out of the folder on any system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    parts = {*posix.parts, *windows.parts}
    return not name or "\0" in name or posix.is_absolute() or bool(windows.drive or windows.root) or ".." in parts
