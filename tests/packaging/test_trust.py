"""What a bundle's configurations and code may name: everything ordinary passes, every way out that we know is told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tiny_bundles

from pipeline.errors import DataError
from pipeline.packaging.expressions import faults
from pipeline.packaging.trust import inspect_bundle, trusted_bundle

ALIASES = {"os": "os", "checkpoints": "pipeline.checkpoints", "launch": "pipeline.launch", "glob": "glob"}
ORDINARY = [
    "plain text, also 50 $ and os.system",
    "$@network.load_state_dict(torch.load(@checkpoint, weights_only=True))",
    "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "$int(__import__('os').environ.get('RANK', '0')) == 0",
    "$'cuda:' + os.environ['LOCAL_RANK']",
    "$getattr(@network, 'module', @network)",
    "$launch.boolean(@x)",
    "$[(i, s) for i, s in enumerate(@a::b#0)]",
    "$lambda x: x[..., ::2] + @a[::2]",
    "$import torch.distributed as dist",
    "$from monai.transforms import Compose",
    "$monai.transforms.Compose([lambda x: x + 1])",
    "$np.float32(3) + np.mean([1])",
    "$monai.__version__",
    "$sorted(glob.glob(@dataset_dir + '/*.nii.gz'))",
    "$@evaluator.run()",
    "$torch.nn.functional.softmax(@x, 1) + torch.einsum('ij->i', @x)",
    "$torch.utils.data.WeightedRandomSampler([1], 1)",
    "$torch.optim.lr_scheduler.PolynomialLR(@optimizer)",
    "$torch.no_grad() and torch.Generator().manual_seed(0)",
    "$torch.float32 if torch.backends.mkldnn.is_available() else torch.amp.autocast('cpu')",
]
WAYS_OUT = {
    "$__import__('os').system('x')": "os.system",
    "$__import__('os').remove('x')": "os.remove",
    "$__import__('subprocess').run('x')": "function __import__",
    "$os.remove('x')": "os.remove",
    "$[os][0].remove('x')": "whole module os",
    "$getattr(os, 'remove')('x')": "whole module os",
    "$getattr(@x, '__class__')": "getattr",
    "$getattr(@x, 'rem' + 'ove')('x')": "getattr",
    "$list(map(getattr, [1], ['x']))": "getattr as a value",
    "$torch.os.remove('x')": "posix.remove",
    "$[m for m in [torch]][0].os.remove('x')": "whole module torch",
    "$checkpoints.os.remove('x')": "posix.remove",
    "$checkpoints.torch.save(1, 'x')": "torch.serialization.save",
    "$launch.sys.modules": "module sys",
    "$monai.utils.optional_import('os')[0].remove('x')": "optional_import",
    "$monai.bundle.run(config_file='x')": "monai.bundle.run",
    "$(lambda torch: 0)(0) or torch.remove('x')": "torch given to something else",
    "$(lambda eval: 0)(0) or eval('1')": "eval given to something else",
    "$eval('1')": "function eval",
    "$exec('1')": "function exec",
    "$open('/etc/passwd').read()": "function open",
    "$().__class__.__base__.__subclasses__()": "__subclasses__",
    "$@a.b.__globals__": "__globals__",
    "$torch.nn.Module.forward.__globals__": "__globals__",
    "$globals()": "function globals",
    "$torch.load('x.pt')": "without weights_only=True",
    "$torch.load('x.pt', weights_only=False)": "without weights_only=True",
    "$torch.load('x.pt', weights_only=@x)": "without weights_only=True",
    "$list(map(torch.load, ['x']))": "torch.load as a value",
    "$torch.hub.load('a', 'b')": "torch.hub.load",
    "$np.load('x', allow_pickle=True)": "numpy.load",
    "$torch.utils.collect_env.run('x')[1]": "torch.utils.collect_env.run",
    "$torch.utils.benchmark.Timer('x').timeit(1)": "torch.utils.benchmark",
    "$torch.fx.graph_module.reduce_graph_module(1, 2)": "torch.fx",
    "$torch.utils.data.datapipes.iter.FileOpener(['x'])": "torch.utils.data.datapipes",
    "$torch.distributed.checkpoint.load({})": "torch.distributed.checkpoint",
    "$from torch.utils import collect_env": "torch.utils.collect_env",
    "$monai.utils.run_cmd(['x'])": "monai.utils.misc.run_cmd",
    "$monai.utils.misc.run_cmd(['x'])": "monai.utils.misc.run_cmd",
    "$monai.data.load_net_with_metadata('x')": "monai.data.torchscript_utils",
    "$monai.data.utils.pickle_operations([])": "pickle_operations",
    "$monai.data.NumpyReader().read('x')": "NumpyReader",
    "$np.lib.format.read_array(1, allow_pickle=True)": "numpy.lib.format",
    "$np.genfromtxt('http://x')": "numpy.genfromtxt",
    '$\'@f{__import__("os").remove("x")}\'': "os.remove",  # MONAI makes an f-string of it
    "$f'{open(1)}'": "function open",
    "$import subprocess": "subprocess",
    "$from os import system": "os.system",
    "$import pipeline.files as files": "pipeline.files",
    "$import os; os.remove('x')": "cannot be read",
    "$nobody": "name nobody",
    "$1 +": "cannot be read",
    "$" + "(" * 9999: "cannot be read",
}
TARGETS = {
    "os.system": "os.system",
    "builtins.eval": "builtins.eval",
    "torch.os.system": "torch.os.system",
    "torch.hub.load": "torch.hub.load",
    "optional_import": "optional_import",  # MONAI's search finds it by this name
    "run": "monai.bundle",
    "download_url": "download_url",
    "pipeline.files.write_text": "pipeline.files",
    "pipeline.launch.sys.exit": "module sys",
    "@name": "known only when it runs",
    "%name": "known only when it runs",
    "$'os.system'": "known only when it runs",
}


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_pass(text):
    assert list(faults(text, "some#key", ALIASES)) == []


@pytest.mark.parametrize(("text", "told"), WAYS_OUT.items())
def test_ways_out_are_told(text, told):
    assert any(told in fault for fault in faults(text, "some#key", ALIASES))


@pytest.mark.parametrize(("text", "told"), TARGETS.items())
@pytest.mark.parametrize("place", ["network#_target_", "network::_target_"])
def test_targets(text, told, place):
    assert any(told in fault for fault in faults(text, place, ALIASES))


@pytest.mark.parametrize("text", ["Compose", "torch.nn.Conv3d", "pipeline.transforms.SaveMaskd", "$torch.nn.Conv3d"])
def test_ordinary_targets_pass(text):
    assert list(faults(text, "network#_target_", ALIASES)) == []


@pytest.mark.parametrize("name", ["acdc", "covid19", "covid19_slices", "options"])
def test_the_bundles_of_the_repository_pass(name):
    assert inspect_bundle(tiny_bundles.REPOSITORY / "bundles" / name) == []


@pytest.mark.parametrize("name", tiny_bundles.SMALL)
def test_packed_bundles_pass(packed_once, name):
    assert inspect_bundle(packed_once[name]) == []


def inference(folder: Path) -> Path:
    return folder / "configs" / "inference.json"


def test_a_description_is_evaluated_too(packed):
    tiny_bundles.edit(inference(packed), note={"_desc_": "$open('x')"})
    (problem,) = inspect_bundle(packed)
    assert problem.file.endswith("inference.json: note#_desc_")
    assert problem.found == "the function open"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/etc/passwd", "'/etc/passwd'"),
        ("../weights.pt", "'../weights.pt'"),
        ("~/x", "'~/x'"),
        ("C:\\x", "'C:\\\\x'"),
        ("%../other.json::network", "'%../other.json::network'"),
        ("%/other.json::network", "'%/other.json::network'"),
        ("$@bundle_root + '/models/../../x'", "'/models/../../x'"),
        ("https://example.org/x.pt", "'https://example.org/x.pt'"),
    ],
)
def test_paths_that_lead_out(packed, text, found):
    tiny_bundles.edit(inference(packed), checkpoint=text)
    assert [problem.found for problem in inspect_bundle(packed)] == [found]


def test_foreign_code_is_shown_with_its_checksum(packed):
    import hashlib

    module = next(packed.glob("volseg_*"))
    with (module / "launch.py").open("a") as stream:
        stream.write("\nprint('changed')\n")
    (packed / "json.py").write_text("print('in the place of a module of Python')")
    (module / "extra.so").write_bytes(b"\x7fELF")
    found = {Path(problem.file).name: problem.found for problem in inspect_bundle(packed)}
    assert found.keys() == {"launch.py", "json.py", "extra.so"}
    assert found["extra.so"].endswith(hashlib.sha256(b"\x7fELF").hexdigest())


def test_a_compiled_file_is_not_used_in_place_of_its_source(packed, monkeypatch):
    """One that names no time of its source is believed by Python without a look at the source."""
    import importlib.util
    import marshal

    module = next(packed.glob("volseg_*"))
    cached = Path(importlib.util.cache_from_source(str(module / "__init__.py")))
    cached.parent.mkdir(exist_ok=True)
    code = marshal.dumps(compile("import os; os.environ['VOLSEG_EXECUTED'] = '1'", "x", "exec"))
    cached.write_bytes(importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + code)
    monkeypatch.delenv("VOLSEG_EXECUTED", raising=False)
    with trusted_bundle(packed):
        importlib.import_module(module.name)
    assert "VOLSEG_EXECUTED" not in os.environ


def test_a_logging_configuration_is_evaluated_too(packed):
    path = packed / "configs" / "logging.conf"
    path.write_text(path.read_text().replace("args=(sys.stderr,)", "args=(__import__('os').system('x'),)"))
    (problem,) = inspect_bundle(packed)
    assert problem.expected == "a plain args"


def test_links_and_yaml(packed):
    (packed / "docs" / "more").symlink_to("/")
    (packed / "configs" / "more.yaml").write_text("a: $open('x')\n")
    (packed / "configs" / "broken.json").write_text("{")
    problems = {Path(problem.file.split(": ")[0]).name: problem.found for problem in inspect_bundle(packed)}
    assert problems["more"] == "a link to /"
    assert problems["more.yaml"] == "the function open"
    assert "Expecting" in problems["broken.json"]


def test_nothing_runs_before_it_is_trusted(packed, monkeypatch):
    monkeypatch.delenv("VOLSEG_EXECUTED", raising=False)
    module = next(packed.glob("volseg_*"))
    (module / "__init__.py").write_text("import os; os.environ['VOLSEG_EXECUTED'] = '1'")
    with pytest.raises(DataError, match="other code"), trusted_bundle(packed):
        pytest.fail("refused bundles are not handed out")
    assert "VOLSEG_EXECUTED" not in os.environ
    with trusted_bundle(packed, trust=True) as folder:
        assert folder == packed


def test_a_zip_and_an_inference_json(packed_once, tmp_path):
    (archive,) = packed_once["acdc"].parent.glob("acdc*.zip")
    with trusted_bundle(archive) as folder:
        assert json.loads(inference(folder).read_text())["bundle_root"] == "."
    assert not folder.exists()
    copy = shutil.copytree(packed_once["acdc"], tmp_path / "copy")
    with trusted_bundle(inference(copy)) as config:
        assert config == inference(copy)
    tiny_bundles.edit(inference(copy), checkpoint="$open('x')")
    with pytest.raises(DataError, match="function open"), trusted_bundle(inference(copy)):
        pass


def test_what_is_not_there_is_told_by_whoever_needs_it(tmp_path):
    with trusted_bundle(tmp_path / "none") as folder:
        assert folder == tmp_path / "none"
