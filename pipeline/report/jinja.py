"""How the pages' templates are read: words escaped, pictures within the page, no script."""

from __future__ import annotations

from base64 import b64encode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.report.figures import Picture


def environment() -> Environment:
    """The templates of pipeline/report/templates; names are escaped, `data_uri` puts a picture into the page itself."""
    found = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["data_uri"] = _data_uri
    return found


def _data_uri(picture: Picture) -> Markup:
    return Markup("data:image/png;base64,") + b64encode(picture.png).decode("ascii")
