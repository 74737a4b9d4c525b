"""`stylert evaluate`: how good a generator is, and how much its deployment changed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stylert.commands import console
from stylert.commands.evaluation_against import open_other
from stylert.commands.evaluation_tables import tell, tell_all
from stylert.commands.export import ReadAs
from stylert.commands.idle import refuse_idle
from stylert.commands.options import (
    AsJson,
    BundleFolder,
    Force,
    WhereHere,
    in_output,
    in_panel,
    in_where,
)
from stylert.commands.picture import Picture
from stylert.commands.target_files import check_new, check_picture
from stylert.commands.text.metrics import parse_metrics, parse_sweep
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.runtime.images import save_image

if TYPE_CHECKING:
    from stylert.apps.datasets import DatasetJob
    from stylert.apps.evaluation import (
        Estimate,
        Evaluation,
        FeatureNetwork,
        Features,
        Moments,
    )

__all__ = ["evaluate"]

in_compared = in_panel("What is compared")
in_features = in_panel("Features")

PATH_LENGTHS: dict[str, tuple[Literal["w", "z"], bool]] = {
    "ppl": ("w", True),
    "ppl-full": ("w", False),
    "ppl-z": ("z", True),
}


def evaluate(
    bundle: BundleFolder,
    *,
    data: Annotated[
        Path | None, in_compared("Pictures of the training: folder, .zip, or tar shards.")
    ] = None,
    stats: Annotated[
        Path | None, in_compared("Their statistics instead, for FID: .npz, or NVlabs' .pkl.")
    ] = None,
    against: Annotated[
        str | None,
        in_compared(
            "Another way to draw the same seeds: fp32, fp16, int8, engine, a checkpoint or bundle."
        ),
    ] = None,
    metrics: Annotated[
        Any,
        in_compared(
            "Figures: fid, kid, pr (precision, recall), dc (density, coverage), ppl, ppl-full, "
            "ppl-z; by default all that the data give.",
            read=parse_metrics,
        ),
    ] = None,
    samples: Annotated[int, in_compared("Pictures to draw, of seeds from 0 on.", min=2)] = 10_000,
    by_class: Annotated[bool, in_compared("Tell the figures of each class.", "--by-class")] = False,
    sweep: Annotated[
        Any, in_compared("The figures by truncation: psi=FIRST:LAST:COUNT.", read=parse_sweep)
    ] = None,
    read_as: ReadAs,
    picture: Picture,
    features: Annotated[
        Path | None, in_features("Feature network, .onnx; by default EfficientNet-lite0.")
    ] = None,
    keep: Annotated[
        Path | None,
        in_features("Folder for the features: the same command then goes on after an interrupt."),
    ] = None,
    save_stats: Annotated[
        Path | None, in_output("File for the statistics of the data, .npz; see --stats.")
    ] = None,
    sheet: Annotated[
        Path | None, in_output("Picture of the most and the least typical pictures.")
    ] = None,
    plot: Annotated[Path | None, in_output("Chart of a sweep: .png, .svg or .pdf.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
    processes: Annotated[
        int | None, in_where("Processes that draw; they share the CPUs out.", min=1)
    ] = None,
    ray_address: Annotated[
        str | None, in_where("Ray cluster that draws: auto, HOST:PORT, or local.", "--ray")
    ] = None,
) -> None:
    """Measure FID and its like of a generator, or what its deployment changed.

    Figures depend on the features: only those of one network can be compared.

    Example: stylert evaluate ffhq-bundle --data ffhq.zip --samples 50000 --keep features

    Example: stylert evaluate ffhq-bundle --precision fp16 --against fp32 --samples 1000
    """
    psi = picture.truncation_psi
    _check_options(
        data, stats, against, metrics, sweep, plot, save_stats, sheet, psi, by_class=by_class
    )
    if against is None:
        read_as.refuse_any("it goes with --against CHECKPOINT")
    if sweep is not None:
        refuse_idle("with --sweep, which draws with its own", truncation_psi=psi)
    run = _choose_run(processes, ray_address, where, against, keep)
    if plot is not None:
        from stylert.apps.evaluation.sweep_plot import check_plot

        check_plot(plot)
        check_new(plot, force=force)
    if sheet is not None:
        check_picture(sheet, quality=None, force=force)
    if save_stats is not None:  # the same command, which goes on, may have written it
        check_new(save_stats, force=force or keep is not None)
    from stylert.apps.datasets import DatasetJob, Seeds, open_for_workers
    from stylert.apps.evaluation import (
        METRICS,
        keep_in,
        measure_drift,
        open_network,
    )

    job = DatasetJob(seeds=Seeds.of(range(samples)), options=picture.to_options())
    with ExitStack() as stack:
        if against is None:
            generator, workers = open_for_workers(bundle, **vars(where))
        else:
            generator, workers = where.open(bundle), 1
        stack.enter_context(generator)
        facts = generator.describe()
        provider = "cuda" if facts.get("provider") == "cuda" else "cpu"
        threads = facts.get("threads", where.threads)
        network = open_network(features, provider=provider, threads=threads)
        folder = stack.enter_context(keep_in(keep))
        if against is not None:
            other = open_other(stack, bundle, against, where, generator, read_as)
            with console.show_progress() as progress:
                drift = measure_drift(generator, other, job, network, folder, progress=progress)
            ways = f"{drift.ways[0]} against {drift.ways[1]}"
            about = f"{drift.pictures} pictures of the same seeds, {ways}"
            return tell(drift.to_json(), drift.figures, network, "Drift", about, as_json=as_json)
        wanted = metrics or (METRICS if data is not None else METRICS[:1])
        of = (generator, job, network, folder, data, stats, wanted, by_class)
        work = _Work(*of, workers, run, features)
        found = work.run(sweep, save_stats)
        if sheet is not None:
            save_image(work.draw_sheet(), sheet)
        if plot is not None:
            from stylert.apps.evaluation.sweep_plot import plot_sweep

            plot_sweep({psi: e for psi, e in found.items() if psi is not None}, plot)
    return tell_all(found, network, as_json=as_json)


@dataclass
class _Work:
    """What is measured of a generator, once or for each psi."""

    generator: Generator
    job: DatasetJob
    network: FeatureNetwork
    folder: Path
    data: Path | None
    stats: Path | None
    metrics: Sequence[str]
    by_class: bool
    workers: int
    run_parts: Callable[..., None] | None  # None: all is drawn here
    features: Path | None
    _drawn: Features | None = field(default=None, init=False)
    _reference: Features | Moments | None = field(default=None, init=False)
    _lengths: Mapping[str, Estimate] | None = field(default=None, init=False)

    def run(
        self, psis: Sequence[float] | None, save_stats: Path | None
    ) -> dict[float | None, Evaluation]:
        """The figures by psi, None = that of the options."""
        found: dict[float | None, Evaluation] = {}
        with console.show_progress() as progress:
            if self.data is not None or self.stats is not None:
                self._reference = self._read_reference(progress, save_stats)
            for psi in psis or (None,):
                stage = "" if psi is None else f" at psi {psi:g}"

                def tell(what: str, done: int, total: int, stage: str = stage) -> None:
                    progress(what + stage, done, total)

                found[psi] = self._measure(psi, tell)
        return found

    def draw_sheet(self) -> Any:
        """The contact sheet of what was drawn last."""
        from stylert.apps.evaluation import draw_sheet, rank_pictures

        assert self._drawn is not None
        assert self._reference is not None
        ranks = rank_pictures(self._drawn.rows, self._reference)
        return draw_sheet(self.generator, self.job, ranks)

    def _read_reference(self, progress: Any, save_stats: Path | None) -> Features | Moments:
        from stylert.apps.evaluation import (
            check_classes,
            check_counts,
            check_features,
            check_network,
            extract_data,
            list_classes,
            measure_moments,
            open_data,
            read_statistics,
            write_statistics,
        )

        if self.stats is not None:
            statistics = read_statistics(self.stats)
            check_network(statistics, self.network, self.stats)
            if statistics.network is None:
                console.warn(
                    f"{self.stats} does not tell the features that it is of; FID means something "
                    f"only if it is of {self.network.name}"
                )
            return statistics.moments
        assert self.data is not None
        pictures = open_data(self.data, self.generator.spec)
        others = [metric for metric in self.metrics if metric not in PATH_LENGTHS]
        check_counts(others, len(self.job.seeds), len(pictures))
        reference = extract_data(
            pictures, self.network, self.folder, workers=self.workers, progress=progress
        )
        if others:
            check_features(reference.rows, "the data")
        if self.by_class:
            check_classes(list_classes(self.generator, self.job), reference.classes, others)
        if save_stats is not None:
            write_statistics(save_stats, measure_moments(reference.rows), self.network)
        return reference

    def _measure(self, psi: float | None, progress: Any) -> Evaluation:
        from stylert.apps.evaluation import Evaluation, extract_drawn, measure_path_lengths
        from stylert.apps.evaluation import evaluate as compare

        options: DrawingOptions = {**self.job.options}
        if psi is not None:
            options["truncation_psi"] = psi
        job = replace(self.job, options=options)
        lengths = [metric for metric in self.metrics if metric in PATH_LENGTHS]
        others = [metric for metric in self.metrics if metric not in PATH_LENGTHS]
        ways = {name: PATH_LENGTHS[name] for name in lengths}
        if self._lengths is None:  # they are of pictures that are not truncated
            of = (self.generator, self.network, ways, job)
            self._lengths = measure_path_lengths(*of, workers=self.workers, progress=progress)
        figures = self._lengths
        if not others:
            return Evaluation(self.network.describe(), len(job.seeds), None, figures)
        assert self._reference is not None
        name = "drawn" if psi is None else f"drawn-psi-{psi:g}"
        if self.run_parts is None:
            of_drawn = (self.generator, job, self.network, self.folder)
            self._drawn = extract_drawn(
                *of_drawn, name=name, workers=self.workers, progress=progress
            )
        else:
            self._drawn = self._share_out(job, name, progress)
        found = compare(
            self._drawn,
            self._reference,
            self.network,
            others,
            by_class=self.by_class,
            one_picture=options.get("truncation_psi") == 0,
            progress=progress,
        )
        return replace(found, figures={**found.figures, **figures})

    def _share_out(self, job: DatasetJob, name: str, progress: Any) -> Features:
        from stylert.apps.evaluation.parts import extract_parts

        assert self.run_parts is not None
        run = partial(self.run_parts, progress=partial(progress, "drawing"))
        of = (self.generator, job, self.network, self.folder)
        return extract_parts(*of, run, name=name, features=self.features)


def _choose_run(
    processes: int | None,
    ray_address: str | None,
    where: WhereHere,
    against: str | None,
    keep: Path | None,
) -> Callable[..., None] | None:
    """What has the pictures drawn by others; None: they are drawn here."""
    if processes is None and ray_address is None:
        return None
    name = "--ray" if ray_address is not None else "--processes"
    if against is not None:
        raise typer.BadParameter(f"{name} goes with --data or --stats")
    if processes is not None and ray_address is not None:
        raise typer.BadParameter("pass --processes N or --ray ADDRESS, one of them")
    if processes is not None:
        from stylert.apps.evaluation.processes import share_out

        return partial(share_out, processes=processes, **vars(where))
    assert ray_address is not None
    if keep is None and ray_address != "local":
        raise typer.BadParameter("--ray: pass --keep FOLDER, too, which all machines share")
    from stylert.apps.cluster.evaluation import share_out_on_ray

    return partial(share_out_on_ray, address=ray_address, **vars(where))


def _check_options(
    data: Path | None,
    stats: Path | None,
    against: str | None,
    metrics: Sequence[str] | None,
    sweep: Sequence[float] | None,
    plot: Path | None,
    save_stats: Path | None,
    sheet: Path | None,
    psi: Any,
    *,
    by_class: bool,
) -> None:
    """Refuse options that do not go together, before anything is opened."""
    sources = {"data": data, "stats": stats, "against": against}
    given = [name for name, value in sources.items() if value is not None]
    alone = metrics is not None and set(metrics) <= PATH_LENGTHS.keys()
    if len(given) > 1 or not (given or alone):
        raise typer.BadParameter(
            "pass --data PATH, --stats FILE or --against WHAT, one of them; --metrics ppl needs "
            "none"
        )
    of_data = [name for name in metrics or () if name != "fid" and name not in PATH_LENGTHS]
    if stats is not None and of_data:
        raise InvalidInput(
            f"metrics: got {of_data[0]!r} with statistics, which give fid alone, expected data=PATH"
        )
    for name, value, needed, with_what in (
        ("--sweep", sweep, (data or stats) is not None, "--data or --stats"),
        ("--truncation-psi", psi, not alone or (data or stats) is not None, "--data or --stats"),
        ("--metrics", metrics, against is None, "--data or --stats"),
        ("--by-class", by_class or None, data is not None, "--data"),
        ("--save-stats", save_stats, data is not None, "--data"),
        ("--sheet", sheet, (data or stats) is not None, "--data or --stats"),
        ("--plot", plot, sweep is not None, "--sweep"),
    ):
        if value is not None and not needed:
            raise typer.BadParameter(f"{name} goes with {with_what}")
