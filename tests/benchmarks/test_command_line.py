import pytest

from benchmarks.__main__ import main


@pytest.mark.parametrize("option", ["--acdc", "--weights", "--ct-weights"])
def test_what_is_not_there_is_refused_before_anything_is_measured(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([option, str(tmp_path / "gone")])
    assert stop.value.code == 2
    assert f"{option}: {tmp_path / 'gone'}: expected" in capsys.readouterr().err


def test_a_set_that_the_environment_names_wrongly_is_refused_not_replaced_by_phantoms(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VOLSEG_ACDC", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "holds training/, found none" in capsys.readouterr().err
