"""Which modules are carried along, on a package made for it."""

import ast
import subprocess
import sys

import pytest

from pipeline.errors import DataError
from pipeline.packaging.sources import Sources, imported_by, rename_imports

FILES = {
    "__init__.py": '"""The package."""\n__version__ = "1"\n',
    "errors.py": "class Bad(Exception):\n    pass\n",
    "unused.py": "import pandas\n",
    "shapes/__init__.py": '"""Shapes."""\nfrom pipeline.shapes.round import Circle\n',
    "shapes/round.py": "import numpy\nfrom pipeline.errors import Bad\nclass Circle:\n    area = 3\n",
    "shapes/deep/__init__.py": "from pipeline.unused import nothing\n",
    "shapes/deep/mind.py": "def think():\n    from pipeline import lazy\n    return lazy.late()\n",
    "lazy/__init__.py": '"""On demand."""\nfrom importlib import import_module\n'
    '_HOMES = {"late": "one", "never": "two"}\n'
    "def __getattr__(name):\n"
    '    if name in _HOMES:\n        return getattr(import_module(f"pipeline.lazy.{_HOMES[name]}"), name)\n'
    "    raise AttributeError(name)\n",
    "lazy/one.py": "import scipy\ndef late():\n    return 42\n",
    "lazy/two.py": "import matplotlib\ndef never():\n    pass\n",
    "lazy/templates/page.html": "<p>",
}


def third_party(sources, folder):
    sources.write(folder, "x")
    return imported_by(folder / "x")


@pytest.fixture
def root(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "pipeline" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "pipeline"


def test_only_what_is_reached_is_carried(root, tmp_path):
    sources = Sources({"pipeline.shapes.Circle"}, root)
    assert sources.modules == ["pipeline", "pipeline.errors", "pipeline.shapes", "pipeline.shapes.round"]
    assert sources.stubs == {"pipeline"}
    assert third_party(sources, tmp_path / "out") == {"numpy"}


def test_a_package_of_which_only_a_module_is_needed_keeps_its_docstring_alone(root):
    sources = Sources({"pipeline.shapes.round.Circle"}, root)
    assert sources.stubs == {"pipeline", "pipeline.shapes"}
    assert sources.text("pipeline.shapes", "x") == '"""Shapes."""\n'


def test_imports_within_functions_and_tables_of_names_are_followed(root, tmp_path):
    sources = Sources({"pipeline.shapes.deep.mind.think"}, root)
    assert "pipeline.lazy.one" in sources.modules
    assert not {"pipeline.lazy.two", "pipeline.unused"} & set(sources.modules)
    assert [path.name for path in sources.data] == ["page.html"]
    assert third_party(sources, tmp_path / "out") == {"scipy"}


def test_what_is_written_runs_without_the_original(root, tmp_path):
    Sources({"pipeline.shapes.deep.mind", "pipeline.shapes.round"}, root).write(tmp_path / "out", "other_1")
    program = "import sys; sys.modules['pipeline'] = None; import other_1.shapes.deep.mind as m; print(m.think())"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "out", capture_output=True, text=True)
    assert run.stdout == "42\n", run.stderr


def test_a_name_that_does_not_exist_is_told(root):
    with pytest.raises(DataError, match=r"pipeline\.shapes\.Square.*\n.*pipeline\.nowhere|nowhere.*\n.*Square"):
        Sources({"pipeline.shapes.Square", "pipeline.nowhere.Thing"}, root)


def test_imports_are_renamed_and_texts_are_not():
    source = (
        "import logging\nfrom pipeline import errors\nfrom pipeline.a import (\n    b,\n    c,\n)\n"
        "import pipeline.d as d\nlogger = logging.getLogger('pipeline')  # pipeline. stays\ntext = 'pipeline.a'\n"
    )
    changed = rename_imports(source, "v1")
    assert "from v1 import errors" in changed
    assert "from v1.a import (" in changed
    assert "import v1.d as d" in changed
    assert changed.endswith("logger = logging.getLogger('pipeline')  # pipeline. stays\ntext = 'pipeline.a'\n")
    ast.parse(changed)


def test_an_import_whose_uses_would_not_be_renamed_is_refused():
    with pytest.raises(ValueError, match="as"):
        rename_imports("import pipeline.a\npipeline.a.b()\n", "v1")
