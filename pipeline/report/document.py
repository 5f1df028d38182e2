"""A report as data, sections of text, tables and figures, and how it becomes one HTML page and Markdown."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.errors import printable
from pipeline.files import write_bytes, write_text
from pipeline.report.figures import Picture

NUMBER = re.compile(r"[-+<–]?\s?\d|–$")
ACTIVE = re.compile(r"[\\`*~|\[\]]|_(?![^\W_])|(?<![^\W_])_")  # an underscore within a word does nothing in Markdown


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Args:
        text: the main words.
        small: what stands under them.
        bold: whether it is the best of its kind.
    """

    text: str
    small: str = ""
    bold: bool = False

    def __str__(self) -> str:
        words = f"**{self.text}**" if self.bold else self.text
        return f"{words} ({self.small})" if self.small else words


@dataclass(frozen=True)
class Table:
    """A table; `spans` are headings above the head: (words, columns)."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    spans: Sequence[tuple[str, int]] = ()

    @property
    def words(self) -> set[int]:
        """The columns that hold no number: they are set to the left."""
        return {0} | {i for i in range(len(self.head)) if not any(NUMBER.match(_text(row[i])) for row in self.rows)}

    @property
    def long(self) -> set[int]:
        """The columns with whole sentences: they are broken into lines."""
        return {i for i in self.words if any(len(_text(row[i])) > 36 for row in self.rows)}


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` "warn" makes it stand out, "soft" lets it recede."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A picture that may be wider than a phone; `svg` is written beside it where there is one."""

    picture: Picture
    svg: bytes | None = None
    chart: bool = True


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    key: str
    title: str
    blocks: Sequence[Table | Text | Bullets | Figure]


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    lead: str
    sections: Sequence[Section]


def write_document(document: Document, folder: str | Path) -> Path:
    """Write report.html (one self-contained file), report.md and figures/; an older report is replaced.

    Returns:
        The page.
    """
    folder = Path(folder)
    blocks = (block for section in document.sections for block in section.blocks)
    for figure in (block for block in blocks if isinstance(block, Figure)):
        for ending, content in (("png", figure.picture.png), ("svg", figure.svg)):
            if content is not None:
                write_bytes(folder / "figures" / f"{figure.picture.name}.{ending}", content, overwrite=True)
    write_text(folder / "report.md", render_markdown(document), overwrite=True)
    return write_text(folder / "report.html", render_html(document), overwrite=True)


def render_html(document: Document) -> str:
    """The page; all words are escaped, pictures are data URIs, no script is needed."""
    return environment().get_template("experiment.html.j2").render(document=document)


def environment() -> Environment:
    """The templates of pipeline/report/templates; names are escaped, `data_uri` puts a picture into the page itself."""
    loader = PackageLoader("pipeline.report")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["data_uri"] = lambda picture: Markup("data:image/png;base64,") + b64encode(picture.png).decode()
    found.filters["kind"] = lambda block: type(block).__name__
    found.tests["cell"] = lambda value: isinstance(value, Cell)
    return found


def render_markdown(document: Document) -> str:
    """The same in GitHub-flavoured Markdown, with the figures as links."""
    parts = [f"# {plain(document.title)}", plain(document.lead)]
    for section in document.sections:
        parts.append(f"## {plain(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def table_in_markdown(table: Table) -> str:
    """A table, its caption under it."""
    spans = [f"{words} " for words, columns in table.spans for _ in range(columns)] or [""] * len(table.head)
    head = [f"{span}{word}".strip() for span, word in zip(spans, table.head, strict=True)]
    ruler = ["---" if i in table.words else "---:" for i in range(len(head))]
    lines = [[plain(word) for word in head], ruler, *([_cell(cell) for cell in row] for row in table.rows)]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{rows}\n\n{plain(table.caption)}" if table.caption else rows


def _block(block: Table | Text | Bullets | Figure) -> str:
    if isinstance(block, Table):
        return table_in_markdown(block)
    if isinstance(block, Bullets):
        return "\n".join(f"- {plain(item)}" for item in block.items)
    if isinstance(block, Text):
        return ("> " if block.kind == "warn" else "") + plain(block.text)
    picture = block.picture
    return f"![{plain(picture.alt)}](figures/{picture.name}.png)\n\n{plain(picture.caption)}"


def _cell(cell: Cell | str) -> str:
    return str(replace(cell, text=plain(cell.text), small=plain(cell.small))) if isinstance(cell, Cell) else plain(cell)


def _text(value: Cell | str) -> str:
    return value.text if isinstance(value, Cell) else value


def plain(text: str) -> str:
    """One line, without what Markdown acts on within a line (bare addresses aside), or HTML or a terminal."""
    text = ACTIVE.sub(r"\\\g<0>", printable(" ".join(text.split())))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_list(words: Iterable[str]) -> str:
    """a, b and c."""
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
