"""Our zip files are those of the standard: what `zipfile` reads is what was written."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import pytest

from stylert.apps.datasets.zip_format import Entry, directory_end, entries, entry_header


def archive(*files: tuple[str, bytes]) -> bytes:
    data = b"".join(entry_header(name, len(d), zlib.crc32(d)) + d for name, d in files)
    records = b"".join(entry.record() for entry in entries(io.BytesIO(data)))
    return data + records + directory_end(len(files), len(data), len(records))


@pytest.mark.parametrize("count", [0, 1, 3, 70_000])
def test_zipfile_reads_it(count: int) -> None:
    files = [(f"{i}.txt", b"x" * (i % 7)) for i in range(count)]
    with zipfile.ZipFile(io.BytesIO(archive(*files))) as found:
        assert [info.filename for info in found.infolist()] == [name for name, _ in files]
        for info in found.infolist()[-5:]:
            assert found.read(info) == dict(files)[info.filename]
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert info.compress_type == zipfile.ZIP_STORED


def test_entries_are_found_again_up_to_the_one_that_is_cut_off() -> None:
    data = archive(("a", b"12"), ("bcd", b""), ("e", b"345"))
    with zipfile.ZipFile(io.BytesIO(data)) as archived:
        offsets = [info.header_offset for info in archived.infolist()]
    found = list(entries(io.BytesIO(data)))
    assert [(entry.name, entry.size, entry.offset) for entry in found] == [
        *(("a", 2, offsets[0]), ("bcd", 0, offsets[1]), ("e", 3, offsets[2]))
    ]
    assert list(entries(io.BytesIO(data[: offsets[2] + 10]))) == found[:2]


def test_files_and_archives_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    huge, small = 5 << 30, b"the file behind the huge one"
    path = tmp_path / "huge.zip"
    with path.open("w+b") as file:  # which has a hole: it takes no room on the disk
        file.write(entry_header("huge", huge, 0))
        file.seek(huge, io.SEEK_CUR)
        file.write(entry_header("small", len(small), zlib.crc32(small)) + small)
        start = file.tell()
        found = list(entries(file))
        file.seek(start)
        file.write(b"".join(entry.record() for entry in found))
        file.write(directory_end(len(found), start, file.tell() - start))
    assert [entry.size for entry in found] == [huge, len(small)]
    assert found[1].end == start
    with zipfile.ZipFile(path) as archived:
        assert archived.getinfo("huge").file_size == huge
        assert archived.getinfo("small").header_offset == found[1].offset > 2**32
        assert archived.read("small") == small


def test_the_numbers_that_just_fit_or_not() -> None:
    for size, offset, large in [(2**32 - 2, 0, 0), (2**32 - 1, 0, 20), (0, 2**32 - 1, 12)]:
        assert len(Entry("x", size, 0, offset).record()) == 46 + 1 + large
    assert len(directory_end(2**16 - 2, 2**32 - 2, 2**32 - 2)) == 22
    for numbers in [(2**16 - 1, 0, 0), (0, 2**32 - 1, 0), (0, 0, 2**32 - 1)]:
        assert len(directory_end(*numbers)) == 56 + 20 + 22
