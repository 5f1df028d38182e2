"""Segment files and folders by a bundle's inference.json, each case on its own: one broken file stops no other."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.errors import DataError, Problem
from pipeline.segmentation.intake import find_cases, inspect
from pipeline.segmentation.manifest import NAME, add_run, describe_program, read_runs, weights_of
from pipeline.segmentation.results import CaseResult, Summary, record
from pipeline.segmentation.statistics import measure, save_statistics
from pipeline.structures import Labels
from pipeline.volumes import first_name, mask_name, names_of
from pipeline.volumes.cine import join_masks, split_frames

if TYPE_CHECKING:
    from pipeline.segmentation.runner import BundleRunner

STATISTICS = "statistics.json"


def segment(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    bundle: str | Path = "bundles/acdc",
    weights: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
    preview: bool = False,
    statistics: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = tqdm.write,
) -> Summary:
    """Segment images: OUTPUT/CASE.nii.gz for each, uint8, on exactly the image's grid; OUTPUT/CASE.png for a picture.

    Runs the network, preprocessing, inferer and postprocessing of the bundle's inference.json. A mask that exists is
    left alone, so that a second call does what is missing (also previews and statistics). Each mask appears whole or
    not at all, after the other files of its case that the bundle writes (CASE_instances.nii.gz, for example).
    OUTPUT/manifest.json gains one entry for each call, also for one that was interrupted.

    Args:
        inputs: an image (NIfTI, .mha, .mhd, .nrrd, PNG, JPEG, BMP, TIFF), a folder of images, the folder of a DICOM
            series, a datalist (.json: several modalities in one case, single slices of a stack), or several of these.
            A NIfTI file with a time axis is segmented frame by frame and gives one 4D mask.
        output: a folder, made where it is missing.
        bundle: folder with inference.json, or such a file.
        weights: a checkpoint instead of the bundle's models/model.pt.
        device: "cpu", "cuda", "cuda:1"; default the bundle's choice.
        overwrite: do existing masks, previews and statistics again.
        preview: also draw OUTPUT/CASE_preview.png.
        statistics: also write OUTPUT/statistics.json, millilitres of each structure (and each lesion, where the bundle
            has `lesions`).
        overrides: entries of inference.json by id, instead of the file's.
        progress: a progress bar on stderr, if that is a terminal.
        echo: takes each line that is for people.

    Returns:
        a summary; its exit_code is 1 if a case failed (named with its reason; the others are done).

    Raises:
        DataError: nothing to segment, no bundle, no weights, no such device, unknown overrides, an output that would
            replace its input, or an unreadable manifest.
    """
    output = Path(output)
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    options = {"inputs": inputs, "overwrite": overwrite, "preview": preview, "statistics": statistics}
    options["overrides"] = dict(overrides or {})
    items = find_cases(inputs, exclude=output)
    _check_output(items, output)
    runs = read_runs(output)
    from pipeline.segmentation.runner import BundleRunner, find_config  # loads torch and monai

    find_config(bundle)
    program = describe_program()
    output.mkdir(parents=True, exist_ok=True)
    results: list[CaseResult] = []
    with tempfile.TemporaryDirectory(dir=output, prefix=".volseg-") as scratch:
        runner = BundleRunner(bundle, output_dir=scratch, weights=weights, device=device, overrides=overrides)
        echo(_announcement(items, runner, output))
        job = _Job(runner, output, Path(scratch), overwrite, preview, statistics, progress, runs)
        try:
            for item in tqdm(items, desc="segmenting", unit="case", disable=None if progress else True):
                results.append(job(item))
                echo(results[-1].line())
        finally:  # also what an interrupted call has done is told
            if statistics:
                _save_statistics(output, results, runner.labels)
            add_run(output, record(runner, program, options, results, len(items)))
    summary = Summary(results, output, output / NAME)
    echo(summary.line())
    return summary


@dataclass
class _Job:
    """One case at a time, with everything that is the same for all."""

    runner: BundleRunner
    output: Path
    scratch: Path
    overwrite: bool
    preview: bool
    statistics: bool
    progress: bool
    runs: list[dict[str, Any]]

    def __call__(self, item: Mapping[str, Any]) -> CaseResult:
        from pipeline.segmentation.runner import root_cause

        case, image = item["case"], item["image"]
        mask = self.output / mask_name(case, image)
        result = CaseResult(case, image, str(mask), "done", slice=item.get("slice"))
        try:
            if mask.exists() and not self.overwrite:
                result.outcome, result.reason = "exists", self._other_weights(case)
            else:
                self._segment(item, mask, result)
            self._extras(item, mask, result)
        except Exception as error:  # any library's error is this case's alone
            several = not isinstance(image, str | Path)
            result.outcome, result.reason = "failed", root_cause(error, name_files=several)
        finally:
            for leftover in self.scratch.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        return result

    def _segment(self, item: Mapping[str, Any], mask: Path, result: CaseResult) -> None:
        start = time.perf_counter()
        info = inspect(item["image"], index=item.get("slice"), channels=self.runner.channels)
        result.shape, result.frames = list(info.shape), info.frames
        result.spacing_mm = list(info.spacing) if info.has_geometry else None
        result.seconds = {"read": time.perf_counter() - start, "network": 0.0, "write": 0.0}
        if info.is_cine:
            self._segment_frames(item, mask, result)
        else:
            os.replace(self._run(item, result), mask)
        result.seconds = {stage: round(seconds, 4) for stage, seconds in result.seconds.items()}

    def _segment_frames(self, item: Mapping[str, Any], mask: Path, result: CaseResult) -> None:
        if not isinstance(item["image"], str):
            remedy = "Split the series into its frames, one case each"
            raise DataError(Problem(str(first_name(item["image"])), "channels without time", "time frames", remedy))
        folder = self.scratch / "frames"
        folder.mkdir()
        frames = split_frames(item["image"], folder, item["case"])
        quiet = None if self.progress and result.frames > 1 else True
        bar = tqdm(frames, desc=item["case"], total=result.frames, unit="frame", leave=False, disable=quiet)
        masks = [self._run_frame(frame, result) for frame in bar]
        start = time.perf_counter()
        join_masks(masks, item["image"], mask, overwrite=self.overwrite)
        result.seconds["write"] += time.perf_counter() - start

    def _run_frame(self, frame: Mapping[str, str], result: CaseResult) -> Path:
        from pipeline.segmentation.runner import root_cause

        try:
            inspect(frame["image"])  # one frame may be empty where the series is not
            return self._run(frame, result)
        except Exception as error:
            found = f"{frame['case']}: {root_cause(error)}"
            file = str(first_name(result.image))
            raise DataError(Problem(file, "a mask of every frame", found, "Look at this frame")) from error

    def _run(self, item: Mapping[str, Any], result: CaseResult) -> Path:
        run = self.runner(item)
        for stage, seconds in run.seconds.items():
            result.seconds[stage] += seconds
        for file in run.others:
            place = self.output / file.name
            os.replace(file, place)
            result.others.append(str(place))
        return run.mask

    def _extras(self, item: Mapping[str, Any], mask: Path, result: CaseResult) -> None:
        if self.statistics:
            options = {"lesions": self.runner.lesions} if self.runner.lesions else {}
            result.volumes = measure(mask, item["image"], self.runner.labels, **options)
        picture = self.output / f"{item['case']}_preview.png"
        if self.preview and (self.overwrite or result.outcome == "done" or not picture.exists()):
            from pipeline.segmentation.preview import draw_preview

            draw_preview(
                item["image"],
                mask,
                self.runner.labels,
                picture,
                title=item["case"],
                index=item.get("slice"),
                overwrite=True,
            )

    def _other_weights(self, case: str) -> str:
        made_by = weights_of(self.runs, case)
        if made_by is None or made_by == self.runner.weights_sha256:
            return ""
        return f"made by other weights, {made_by[:12]}; --overwrite does it again"


def _check_output(items: Iterable[Mapping[str, Any]], output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise DataError(Problem(str(output), "a folder for the masks", "a file", "Name a folder"))
    problems = [
        Problem(str(name), "an output beside the image", "the image itself", "Choose another output folder")
        for item in items
        for name in names_of(item["image"])
        if (output / mask_name(item["case"], item["image"])).resolve() == Path(name).resolve()
    ]
    if problems:
        raise DataError(problems)


def _announcement(items: list[dict[str, Any]], runner: BundleRunner, output: Path) -> str:
    number = f"{len(items)} case" + ("s" if len(items) > 1 else "")
    version = f" {runner.version}" if runner.version else ""
    weights = ", ".join(map(str, runner.checkpoints)) or "no weights"
    return f"{number} by {runner.name}{version} ({weights}) on {runner.device} -> {output}"


def _save_statistics(output: Path, results: Iterable[CaseResult], labels: Labels) -> None:
    cases = {
        result.case: {"image": result.image, "mask": result.mask, **result.volumes}
        for result in results
        if result.volumes is not None
    }
    save_statistics(output / STATISTICS, cases, labels)
