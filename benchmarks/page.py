"""Put measured tables between the markers of docs/performance.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks.setting import REPOSITORY
from pipeline.files import write_text

PAGE = REPOSITORY / "docs" / "performance.md"


def put(name: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; raises ValueError without them."""
    content = page.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in content or end not in content:
        raise ValueError(f"{page} lacks {begin} or {end}")
    before, after = content.split(begin)[0], content.split(end)[1]
    write_text(page, f"{before}{begin}\n{text}\n{end}{after}", overwrite=True)
