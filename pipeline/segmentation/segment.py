"""Segment files and folders by a bundle's inference.json, each case on its own: one broken file stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.errors import DataError, Problem, printable
from pipeline.segmentation.group import Group
from pipeline.segmentation.intake import find_cases
from pipeline.segmentation.line import Line
from pipeline.segmentation.looker import borrow, give_back
from pipeline.segmentation.manifest import add_killed_runs, add_run, describe_program, makers_of, read_runs
from pipeline.segmentation.reasons import is_disk_full
from pipeline.segmentation.results import COMPLETED, MANIFEST, SILENT, CaseResult, Summary, record
from pipeline.segmentation.signals import Terminated, terminable, undisturbed
from pipeline.segmentation.statistics import STATISTICS, forget_statistics, read_statistics, save_statistics
from pipeline.segmentation.steps import Settings, Steps
from pipeline.segmentation.workplace import workplace, writing
from pipeline.volumes import mask_name, names_of, suffix_of

if TYPE_CHECKING:
    from pipeline.segmentation.runner import BundleRunner


def segment(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    bundle: str | Path = "bundles/acdc",
    weights: str | Path | Sequence[str | Path] | None = None,
    device: str | None = None,
    overwrite: bool = False,
    preview: bool = False,
    statistics: bool = False,
    timeout: float | None = None,
    max_memory: float | None = None,
    ahead: bool = True,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = tqdm.write,
) -> Summary:
    """Segment images: OUTPUT/CASE.nii.gz for each, uint8, on exactly the image's grid; OUTPUT/CASE.png for a picture.

    Runs the network, preprocessing, inferer and postprocessing of the bundle's inference.json. A mask that exists is
    left alone, so that a second call does what is missing (also previews and statistics); one that is damaged is done
    again. Each mask appears whole or not at all, after the other files of its case that the bundle writes
    (CASE_instances.nii.gz, for example). OUTPUT/manifest.json gains one entry for each call, also for one that was
    interrupted; what a killed call had done is entered by the next one.

    Each file is first read to its last byte by a process of its own, so that one which hangs or crashes its reader
    costs a case and not the run. Started by torchrun, each case is done by one of the processes (`Group`), and the
    first one tells what became of all.

    Args:
        inputs: an image (NIfTI, .mha, .mhd, .nrrd, PNG, JPEG, BMP, TIFF), a folder of images, the folder of a DICOM
            series, a datalist (.json: several modalities in one case, single slices of a stack), or several of these.
            A NIfTI file with a time axis is segmented frame by frame and gives one 4D mask.
        output: a folder, made where it is missing.
        bundle: folder with inference.json, or such a file.
        weights: a checkpoint instead of the bundle's own, or several whose answers are averaged.
        device: "cpu", "cuda", "cuda:1"; default the bundle's choice, under torchrun each process its GPU.
        overwrite: do existing masks, previews and statistics again.
        preview: also draw OUTPUT/CASE_preview.png.
        statistics: also write OUTPUT/statistics.json, millilitres of each structure (and each lesion, where the bundle
            has `lesions`).
        timeout: seconds that each step of a case (reading, computing, writing; of a cine each frame) may take; the case
            is then given up as "timed out". Default: 900 for reading, no limit for the rest.
        max_memory: gigabytes that the voxels of a case may take by what its header claims; default what is free.
        ahead: read the next case and write the last one while the network is at work.
        overrides: entries of inference.json by id, instead of the file's.
        progress: a progress bar on stderr, if that is a terminal.
        echo: takes each line that is for people.

    Returns:
        a summary; its exit_code is 1 if a case failed (named with its reason; the others are done) or if the disk was
        full. Under torchrun that of all processes in the first one; elsewhere that of the process, with the first
        one's exit code.

    Raises:
        DataError: nothing to segment, no bundle, no weights, no such device, unknown overrides, an output that would
            replace its input, or an unreadable manifest or statistics.json.
        KeyboardInterrupt: Ctrl-C or (Terminated) SIGTERM, once the manifest is written.
    """
    output = Path(output)
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    settings = Settings(overwrite, preview, statistics, progress, timeout, max_memory, overrides or {})
    options = {"inputs": inputs, "overwrite": overwrite, "preview": preview, "statistics": statistics, "ahead": ahead}
    options |= {"timeout": timeout, "max_memory": max_memory, "overrides": dict(overrides or {})}
    with terminable(), ExitStack() as stack:
        looker = borrow()
        stack.callback(give_back, looker)
        from pipeline.segmentation.runner import BundleRunner  # loads torch and monai

        group = Group()
        items = group.share("items", lambda: _begin(inputs, output, bundle, settings))
        program = describe_program()
        with workplace(output) as place:
            used = {"weights": weights, "device": group.device(device), "overrides": overrides}
            runner = BundleRunner(bundle, output_dir=place.masks, **used)
            entry = record(runner, program, options, len(items))
            with writing(output):
                place.note(entry)
            steps = Steps(runner, output, place, looker, settings, makers_of(read_runs(output)))
            run = _Run(items, output, group, entry, runner, settings, place.folder, echo)
            return run(Line(steps, output, ahead=ahead))


@dataclass
class _Run:
    """All cases of one call, and what is told of them in the end, however it comes."""

    items: list[dict[str, Any]]
    output: Path
    group: Group
    entry: dict[str, Any]
    runner: BundleRunner
    settings: Settings
    scratch: Path
    echo: Callable[[str], None]
    results: list[CaseResult] = field(default_factory=list)

    def __call__(self, line: Line) -> Summary:
        if self.group.is_first:
            self.echo(_announcement(self.items, self.runner, self.output, self.group.size))
        hidden = not (self.settings.progress and self.group.is_first)
        with tqdm(total=len(self.items), desc="segmenting", unit="case", disable=hidden or None) as bar:
            ended = "error"
            try:
                for result in line(self.group.take(self.items)):
                    self._note(result, bar)
                ended = "disk full" if line.disk_full else COMPLETED
            except KeyboardInterrupt as error:
                ended = "terminated" if isinstance(error, Terminated) else "interrupted"
                raise
            finally:  # also what an interrupted call has done is told
                late = list(line.last())
                self.results += late
                summary = self._end(ended, bar, late)
                self.group.close()
        return summary

    def _note(self, result: CaseResult, bar: Any) -> None:
        self.results.append(result)
        done = self.group.count(1)
        bar.update(max(0, done - bar.n) if self.group.size > 1 else 1)
        if self.group.is_first:
            self.echo(result.line())

    def _end(self, ended: str, bar: Any, late: list[CaseResult]) -> Summary:
        """Write statistics and manifest, of all processes in the first one; `late` are results not told yet."""
        mine = {"ended": ended, "results": [vars(result) for result in self.results]}
        hurry = ended not in (COMPLETED, "disk full")
        parts = self.group.gather(mine, hurry=hurry, wait=lambda: bar.update(max(0, self.group.count() - bar.n)))
        if not self.group.is_first:
            verdict = None if hurry else self.group.agree(0)
            return Summary(self.results, self.output, len(self.results), ended, verdict)
        with undisturbed():
            ends = [part["ended"] for part in parts]
            silent = [SILENT] if len(parts) < self.group.size and not hurry else []
            ended = next((end for end in [*ends, *silent] if end != COMPLETED), COMPLETED)
            others = [CaseResult(**result) for part in parts[1:] for result in part["results"]]
            for result in late + others:
                self.echo(result.line())
            order = {item["case"]: index for index, item in enumerate(self.items)}
            results = sorted(self.results + others, key=lambda result: order[result.case])
            summary = Summary(results, self.output, len(self.items), ended)
            self._save(summary)
            self.echo(summary.line())
            self.group.agree(summary.exit_code)
        return summary

    def _save(self, summary: Summary) -> None:
        try:
            self._save_statistics(summary.cases)
            run = self.entry | {
                "precision": self.runner.precision,  # known once the network was called
                "complete": len(summary.cases) == summary.asked,
                "ended": summary.ended,
                "cases": [result.entry() for result in summary.cases],
            }
            add_run(self.output, run, by_way_of=self.scratch)
        except OSError as error:
            if not is_disk_full(error):
                raise
            summary.ended = "disk full"
            self.echo(printable(f"no room left in {self.output} for {MANIFEST}, which does not tell of this run"))

    def _save_statistics(self, results: list[CaseResult]) -> None:
        """Add what was measured; no entry may outlive the mask that it was measured of."""
        path = self.output / STATISTICS
        stale = [result.case for result in results if result.written and result.volumes is None]
        forget_statistics(path, stale, by_way_of=self.scratch)
        if self.settings.statistics:
            measured = (result for result in results if result.volumes is not None)
            cases = {result.case: {"image": result.image, "mask": result.mask, **result.volumes} for result in measured}
            save_statistics(path, cases, self.runner.labels, by_way_of=self.scratch)


def _begin(inputs: list[str | Path], output: Path, bundle: str | Path, settings: Settings) -> list[dict[str, Any]]:
    """The cases, once it is clear that they can be begun."""
    from pipeline.segmentation.runner import channels_of

    items = find_cases(inputs, exclude=output, channels=channels_of(bundle, settings.overrides))
    _check_output(items, output)
    read_runs(output)
    read_statistics(output / STATISTICS)
    if output.is_dir():
        add_killed_runs(output)
    return items


def _check_output(items: Iterable[Mapping[str, Any]], output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise DataError(Problem(str(output), "a folder for the masks", "a file", "Name a folder"))
    if not output.exists() and suffix_of(output):
        raise DataError(Problem(str(output), "a folder for the masks", "the name of an image", "Name a folder"))
    problems = [
        Problem(str(name), "an output beside the image", "the image itself", "Choose another output folder")
        for item in items
        for name in names_of(item["image"])
        if (output / mask_name(item["case"], item["image"])).resolve() == Path(name).resolve()
    ]
    if problems:
        raise DataError(problems)


def _announcement(items: list[dict[str, Any]], runner: BundleRunner, output: Path, processes: int) -> str:
    number = f"{len(items)} case" + ("s" if len(items) > 1 else "")
    number += f" in {processes} processes" if processes > 1 else ""
    version = f" {runner.version}" if runner.version else ""
    weights = ", ".join(map(str, runner.checkpoints)) or "no weights"
    return printable(f"{number} by {runner.name}{version} ({weights}) on {runner.device} -> {output}")
