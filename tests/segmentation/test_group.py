"""Cases dealt out to several processes, here several groups on one store in memory."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from pipeline.errors import DataError, Problem
from pipeline.segmentation.group import Group


def groups(size: int) -> list[Group]:
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=20))
    made = [Group() for _ in range(size)]
    for rank, group in enumerate(made):
        group.size, group.rank, group._store = size, rank, store
    return made


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "7")  # somebody else's
    group = Group()
    items = [{"image": "b"}, {"image": "a"}]
    assert (group.size, group.is_first) == (1, True)
    assert list(group.take(items)) == items
    assert group.share("x", lambda: 5) == 5
    assert group.gather([1]) == [[1]]
    assert group.device(None) is None


def test_each_case_goes_to_one_process(tmp_path: Path) -> None:
    items = [{"image": str(tmp_path / f"{n}"), "case": n} for n in range(200)]
    taken: list[list[int]] = [[], [], []]

    def work(group: Group) -> None:
        taken[group.rank] += [item["case"] for item in group.take(items)]

    in_threads(groups(3), work)
    assert sorted(case for part in taken for case in part) == list(range(200))


def test_the_largest_goes_first_and_folders_count(tmp_path: Path) -> None:
    for name, size in (("a", 10), ("b", 300), ("c", 20)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "series").mkdir()
    for part in range(4):
        (tmp_path / "series" / f"{part}").write_bytes(bytes(50))
    items = [{"image": str(tmp_path / name)} for name in ("a", "b", "c", "series")]
    items += [{"image": [str(tmp_path / "a"), str(tmp_path / "b")]}, {"image": str(tmp_path / "gone")}]
    (group, _) = groups(2)
    assert [items.index(item) for item in group.take(items)] == [4, 1, 3, 2, 0, 5]


def test_the_first_one_hears_of_all() -> None:
    heard: dict[int, Any] = {}

    def work(group: Group) -> None:
        items = group.share("items", lambda: [{"image": "a"}] if group.is_first else 1 / 0)
        group.count(group.rank)
        heard[group.rank] = items, group.gather({"rank": group.rank})

    made = groups(3)
    in_threads(made, work)
    assert [items for items, _ in heard.values()] == [[{"image": "a"}]] * 3
    assert sorted(part["rank"] for part in heard[0][1]) == [0, 1, 2]
    assert heard[1][1] == heard[2][1] == []
    assert made[0].count() == 3


def test_bad_input_of_the_first_is_that_of_all() -> None:
    problem = Problem("scans", "images", "none", "Look for them")
    seen: list[DataError] = []

    def refuse() -> None:
        raise DataError(problem)

    def work(group: Group) -> None:
        try:
            group.share("items", refuse)
        except DataError as error:
            seen.append(error)

    in_threads(groups(3), work)
    assert [error.problems for error in seen] == [[problem]] * 3


def test_in_a_hurry_the_silent_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.segmentation.group.LAST_WORDS", 0.3)
    made = groups(3)
    made[2].gather("here")
    assert made[0].gather("first", hurry=True) == ["first", "here"]


def test_one_that_fell_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one shows signs of life for longer than it would take to give it up, the third one never does."""
    monkeypatch.setattr("pipeline.segmentation.group.SILENCE", 0.5)
    monkeypatch.setattr("pipeline.segmentation.group.HEARTBEAT", 0.05)
    made = groups(3)
    assert list(made[1].take([])) == []
    threading.Timer(1.2, lambda: made[1].gather("late")).start()
    assert made[0].gather("first") == ["first", "late"]


def test_all_end_with_the_exit_code_of_the_first() -> None:
    codes: dict[int, int] = {}

    def work(group: Group) -> None:
        codes[group.rank] = group.agree(3 if group.is_first else 0)

    in_threads(groups(3), work)
    assert codes == {0: 3, 1: 3, 2: 3}


def test_without_the_first_one_the_others_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.segmentation.group.SILENCE", 0.3)
    assert groups(2)[1].agree(0) == 1


def in_threads(made: list[Group], work: Any) -> None:
    threads = [threading.Thread(target=work, args=(group,)) for group in reversed(made)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
