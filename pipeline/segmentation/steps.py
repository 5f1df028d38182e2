"""The steps of one case: look, read, compute, write. Whatever goes wrong in them is this case's alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.errors import DataError, Problem, printable
from pipeline.segmentation.inspection import inspect
from pipeline.segmentation.looker import Looker, TimedOutError
from pipeline.segmentation.reasons import is_disk_full, remedy_of, root_cause
from pipeline.segmentation.results import DONE, EXISTS, FAILED, TIMED_OUT, CaseResult
from pipeline.segmentation.signals import time_limit
from pipeline.segmentation.statistics import measure
from pipeline.segmentation.workplace import Workplace
from pipeline.volumes import first_name, mask_name
from pipeline.volumes.cine import join_masks, split_frames

if TYPE_CHECKING:
    from pipeline.segmentation.runner import BundleRunner, Work

READING = 900.0  # seconds to read a file where no limit was asked for: only a drive that hangs takes as long


@dataclass(frozen=True)
class Settings:
    """What is the same for all cases; see `pipeline.segmentation.segment`."""

    overwrite: bool = False
    preview: bool = False
    statistics: bool = False
    progress: bool = True
    timeout: float | None = None
    max_memory: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


class Case:
    """A case on its way; `work` is what was read of it, None once it is written and for a cine."""

    def __init__(self, item: Mapping[str, Any], output: Path) -> None:
        self.item = item
        self.mask = output / mask_name(item["case"], item["image"])
        self.result = CaseResult(item["case"], item["image"], str(self.mask), DONE, slice=item.get("slice"))
        self.work: Work | None = None
        self.of_another_image = False  # the mask that is there
        self.abandoned = False  # left to a thread that may wake up while other cases are written
        self.disk_full = False

    @property
    def is_cine(self) -> bool:
        """Whether it is segmented frame by frame."""
        return self.result.frames > 1

    @property
    def goes_on(self) -> bool:
        """Whether there is something to compute."""
        return self.result.outcome == DONE

    def fail(self, error: BaseException) -> None:
        """Note why the case has no mask."""
        self.result.outcome = TIMED_OUT if isinstance(error, TimedOutError) else FAILED
        several = not isinstance(self.item["image"], str | Path)
        self.result.reason = str(error) if isinstance(error, TimedOutError) else root_cause(error, name_files=several)
        self.result.remedy = remedy_of(error)
        if is_disk_full(error):
            self.disk_full = True
            self.result.reason, self.result.remedy = f"no room left on the disk of {self.mask.parent}", ""
        self.work = None


@dataclass
class Steps:
    """The steps, in the order in which a case goes through them; none raises what goes wrong with the case.

    `prepare` and `finish` may run in one other thread while `compute` runs in the main one.

    Args:
        makers: whose masks are there (`pipeline.segmentation.manifest.makers_of`).
    """

    runner: BundleRunner
    output: Path
    place: Workplace
    looker: Looker
    settings: Settings
    makers: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]

    def prepare(self, case: Case) -> None:
        """Look at the case's files in a process of their own, then read the image; a cine is only looked at."""
        with _failing(case):
            self._look(case)
            if case.goes_on and not case.is_cine:
                case.work = self.runner.read(case.item)

    def compute(self, case: Case) -> None:
        """Let the network look at it; of a cine do everything."""
        with _failing(case):
            if case.is_cine:
                self._segment_frames(case)
            elif case.work is not None:
                with time_limit(self.settings.timeout, "computing it"):
                    case.work = self.runner.compute(case.work)

    def finish(self, case: Case) -> None:
        """Write the mask, then draw and measure it; note the case in the journal."""
        with _failing(case):
            try:
                if case.work is not None and case.goes_on:
                    self._take(self.runner.write(case.work), case, case.mask)
                if case.result.written:
                    self._note(case)  # a run that is killed while it measures has left its mask all the same
                if not case.result.is_failure and not case.of_another_image:
                    self._extras(case)
            finally:
                if not case.abandoned:
                    self.place.clear()
        case.work = None
        seconds = case.result.seconds
        case.result.seconds = {stage: round(spent, 4) for stage, spent in seconds.items()}
        self._note(case)

    def _note(self, case: Case) -> None:
        try:
            self.place.note(case.result.entry())
        except OSError as error:  # the case is done all the same
            case.disk_full = case.disk_full or is_disk_full(error)

    def _look(self, case: Case) -> None:
        result = case.result
        there = case.mask.exists() and not self.settings.overwrite
        seen = self.looker(
            case.item["image"],
            index=case.item.get("slice"),
            channels=self.runner.channels,
            mask=str(case.mask) if there else None,
            max_memory=self.settings.max_memory,
            timeout=self.settings.timeout or READING,
        )
        if seen.info is None:
            other = self._other_image(case)
            case.of_another_image = bool(other)
            result.outcome, result.reason = EXISTS, other or self._made_otherwise(case)
            return
        if seen.damage:
            result.reason = f"the mask that was there was damaged ({seen.damage})"
        result.shape, result.frames = list(seen.info.shape), seen.info.frames
        result.spacing_mm = list(seen.info.spacing) if seen.info.has_geometry else None
        result.seconds = {"read": seen.seconds, "network": 0.0, "write": 0.0}

    def _segment_frames(self, case: Case) -> None:
        image, result = case.item["image"], case.result
        if not isinstance(image, str):
            remedy = "Split the series into its frames, one case each"
            raise DataError(Problem(str(first_name(image)), "channels without time", "time frames", remedy))
        folder = self.place.folder / "frames"
        folder.mkdir()
        frames = split_frames(image, folder, result.case)
        quiet = None if self.settings.progress else True
        bar = tqdm(frames, desc=printable(result.case), total=result.frames, unit="frame", leave=False, disable=quiet)
        masks = [self._segment_frame(frame, case) for frame in bar]
        start = time.perf_counter()
        joined = join_masks(masks, image, folder / case.mask.name)
        self._publish(joined, case)
        result.seconds["write"] += time.perf_counter() - start

    def _segment_frame(self, frame: Mapping[str, str], case: Case) -> Path:
        try:
            inspect(frame["image"])  # one frame may be empty where the series is not
            with time_limit(self.settings.timeout, f"computing {frame['case']}"):
                work = self.runner(frame)
            return self._take(work, case, work.mask)
        except TimedOutError:
            raise
        except Exception as error:
            if is_disk_full(error):
                raise
            found = f"{frame['case']}: {root_cause(error)}"
            file = str(first_name(case.item["image"]))
            raise DataError(Problem(file, "a mask of every frame", found, "Look at this frame")) from error

    def _take(self, work: Work, case: Case, mask: Path) -> Path:
        """Give the files of a work their names, the mask last: where it is, everything is."""
        for stage, seconds in work.seconds.items():
            case.result.seconds[stage] += seconds
        if case.result.is_failure:
            raise RuntimeError("the case was given up")  # it took too long; nobody waits for its mask any more
        for file in work.others:
            os.replace(file, self.output / file.name)
            case.result.others.append(str(self.output / file.name))
        if mask == case.mask:
            self._publish(work.mask, case)
        else:
            os.replace(work.mask, mask)
        return mask

    def _publish(self, mask: Path, case: Case) -> None:
        self._clear_companions(case)
        os.replace(mask, case.mask)
        case.result.written = True

    def _clear_companions(self, case: Case) -> None:
        """Remove what was made of the mask that is about to be replaced, and not made anew with this one."""
        made = self.makers.get(case.result.case)
        others = [self.output / Path(name).name for name in made[1].get("others", ())] if made else []
        for file in (self._preview(case), *others):
            if str(file) not in case.result.others:
                file.unlink(missing_ok=True)

    def _preview(self, case: Case) -> Path:
        return self.output / f"{case.result.case}_preview.png"

    def _extras(self, case: Case) -> None:
        item, result = case.item, case.result
        if self.settings.statistics:
            result.volumes = measure(case.mask, item["image"], self.runner.labels, lesions=self.runner.lesions)
        preview = self._preview(case)
        is_there = preview.exists() and preview.stat().st_mtime_ns >= case.mask.stat().st_mtime_ns
        if self.settings.preview and not (result.outcome == EXISTS and is_there):
            from pipeline.segmentation.preview import draw_preview

            picture = self.place.masks / preview.name
            options = {"title": result.case, "index": item.get("slice"), "overwrite": True}
            draw_preview(item["image"], case.mask, self.runner.labels, picture, **options)
            os.replace(picture, preview)

    def _other_image(self, case: Case) -> str:
        """Which image or slice the mask that is there was made of instead of the case's; "" as `_made_otherwise`."""
        if (made := self.makers.get(case.result.case)) is None:
            return ""
        image, own = str(first_name(made[1]["image"])), str(first_name(case.item["image"]))
        if os.path.exists(image) and not os.path.samefile(image, own):
            return f"made of another image, {image}; --overwrite does it again"
        now = case.item.get("slice")
        if (was := made[1].get("slice", now)) != now:
            part = "the whole image" if was is None else f"another slice, {was}"
            return f"made of {part}; --overwrite does it again"
        return ""

    def _made_otherwise(self, case: Case) -> str:
        """Why the mask that is there may not be the one that is wanted; "" where it is, as far as the manifest says."""
        if (made := self.makers.get(case.result.case)) is None:
            return ""
        run, own = made[0], self.runner
        if (bundle := run.get("bundle")) and _identity(bundle) != (own.name, own.config.name):
            return f"made by another bundle, {'/'.join(_identity(bundle))}; --overwrite does it again"
        if (sha256 := run["weights"]["sha256"]) != own.weights_sha256:
            return f"made by other weights, {sha256[:12] if sha256 else 'none'}; --overwrite does it again"
        was, now = (_as_json(one) for one in (run["options"].get("overrides", {}), self.settings.overrides))
        if other := sorted(key for key in {*was, *now} if was.get(key) != now.get(key)):
            return f"made with another --set of {', '.join(other)}; --overwrite does it again"
        return ""


def _identity(bundle: Mapping[str, Any]) -> tuple[str, str]:
    """Of a bundle as the manifest has it: its name and that of its configuration, wherever they lie."""
    return bundle["name"], Path(bundle["config"]).name


def _as_json(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """As the manifest has them."""
    return json.loads(json.dumps(dict(overrides), default=str))


@contextmanager
def _failing(case: Case) -> Iterator[None]:
    """Any library's error is this case's alone."""
    try:
        yield
    except Exception as error:
        if not case.result.is_failure:
            case.fail(error)
