"""Fitting on a cluster: Dask.distributed workers read and sum, and one sum comes back.

Every task reads pairs and sums them in place. Sums are added as a tree on the workers, four at a
time, so that one sum a round travels to this process. They are integers: the order in which tasks
end, how many workers there are, and tasks repeated because a worker died change no bit.

The workers need pixelreg in the same version, and the pictures under the same paths as here. On a
cluster of one's own: ``dask scheduler`` on one machine, ``dask worker tcp://HOST:8786 --nworkers
CORES --nthreads 1`` on each of the others, and ``pixelreg fit --cluster tcp://HOST:8786`` anywhere.

A million pictures (500,000 pairs) at 128 x 128 on ten workers of one core each: reading and cutting
a 1350 x 1350 JPEG takes a core 6 ms where landmarks are given, 30 ms where YuNet has to find the
face, 60 ms with the bundled detector (measured on an AMD EPYC). A fifth of the people
held out is read twice, so 1.2 million times 30 ms are ten hours of one core, and one hour of ten
workers; 12 minutes with landmarks. The pictures, at 200 KB each, are 240 GB to be read: 67 MB/s
for the hour, which is what a shared disk must give. Pixel-RR's sums are 1.6 MB: 7,800 tasks of 64
pairs send 12 GB between the workers. Pixel-KR's are 101 MB, and a worker holds a few of them: 490
tasks of 1,024 pairs send some 50 GB. This process holds the names, 3.5 KB a pair, 1.7 GB in all.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import islice
from typing import Any

import PIL

from pixelreg import __version__
from pixelreg.backends import cores
from pixelreg.data.crops import Cutter
from pixelreg.data.pairs import Pair
from pixelreg.errors import MissingExtraError, PixelregError, UsageError
from pixelreg.faces.detect import detector_class
from pixelreg.fitting.learn import SHOWN, Verdict, chunks, judge_pairs, read_pairs
from pixelreg.fitting.tally import KeptSums, Step, Tally
from pixelreg.fitting.workers import sigint_blocked
from pixelreg.models.plans import Plan
from pixelreg.models.sums import Sums

SMALL_SUMS, LARGE_SUMS = 64, 1024  # pairs of one task; large sums are made seldom
LARGE = 64  # bytes a value of a crop: Pixel-KR keeps 2,048 (100 MB at 128 x 128), Pixel-RR 32
FAN_IN = 4  # sums added by one task
ROUND = 8  # tasks a thread, between two sums that come back
AHEAD = 2  # rounds under way
SECONDS = 20  # to wait for a scheduler


@dataclass(frozen=True, eq=False)
class Report:
    """What tasks read: as a `Step`, and which versions they had."""

    step: Step
    versions: frozenset[str]


class ClusterWorkers:
    """Workers of a Dask cluster.

    client : a `distributed.Client`.
    task : pairs of one task, at the most.
    """

    def __init__(
        self, client: Any, cutter: Cutter, keep: type[Sums], task: int | None = None
    ) -> None:
        self.client = client
        self.keep = keep
        self.cutter = cutter
        width = sum(array.nbytes for array in keep.empty(1).arrays().values())
        self.task = task or (LARGE_SUMS if width > LARGE else SMALL_SUMS)

    def read(self, tally: Tally) -> Iterator[tuple[int, Step]]:
        """See `pixelreg.fitting.learn.Workers`."""
        self._name_detector(tally)
        for number, part in enumerate(tally.parts):
            left = part.pairs[tally.done[number] :]
            sizes = iter(self._rounds(left))
            running: deque[tuple[Sequence[Pair], Any]] = deque()
            running.extend((pairs, self._start(pairs)) for pairs in islice(sizes, AHEAD))
            while running:
                pairs, future = running.popleft()
                report = self._result(future)
                following = next(sizes, None)
                if following is not None:
                    running.append((following, self._start(following)))
                self._check(report, pairs)
                yield number, report.step

    def judge(self, plan: Plan, pairs: Sequence[Pair]) -> Iterator[Verdict]:
        """See `pixelreg.fitting.learn.Workers`."""
        scattered = self.client.scatter(plan, broadcast=True)
        some = chunks([_absolute(pair) for pair in pairs], self.cutter.size)
        ahead = 2 * self._threads()
        running: deque[Any] = deque()
        show = SHOWN
        for first in range(0, len(some), ROUND):
            row = some[first : first + ROUND]
            future = self.client.submit(
                judge_row, self.cutter, scattered, row, max(show, 0), pure=False
            )
            running.append(future)
            show -= sum(map(len, row))
            if len(running) >= ahead:
                yield from self._result(running.popleft())
        while running:
            yield from self._result(running.popleft())

    def _rounds(self, pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
        step = self.task * ROUND * self._threads()
        return [pairs[first : first + step] for first in range(0, len(pairs), step)]

    def _start(self, pairs: Sequence[Pair]) -> Any:
        """Read a round of pairs: a future of one report."""
        share = -(-len(pairs) // (ROUND * self._threads()))
        step = max(1, min(self.task, share))
        sent = [_absolute(pair) for pair in pairs]
        submit: Callable[..., Any] = self.client.submit
        level = [
            submit(sum_pairs, self.cutter, self.keep, sent[first : first + step], pure=False)
            for first in range(0, len(sent), step)
        ]
        while len(level) > 1:
            level = [
                submit(add_reports, level[first : first + FAN_IN], pure=False)
                for first in range(0, len(level), FAN_IN)
            ]
        return level[0]

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except import_module("distributed").KilledWorker as error:
            raise PixelregError(
                "workers of the cluster died again and again on the same pictures, most likely "
                "for lack of memory; give them more, or use a smaller --size"
            ) from error

    def _check(self, report: Report, pairs: Sequence[Pair]) -> None:
        """Refuse what this machine would have read otherwise."""
        here = _versions(self.cutter)
        other = report.versions - {here}
        if other:
            raise PixelregError(
                f"a worker of the cluster has {min(other)}, but here it is {here}; "
                "install the same versions for the same result"
            )
        for place, reason in report.step.problems:
            if self._usable(pairs[place]):
                raise PixelregError(
                    f"a worker of the cluster cannot use a pair that can be used here: {reason}; "
                    "give all workers the same pictures under the same paths"
                )

    def _usable(self, pair: Pair) -> bool:
        try:
            self.cutter.cut(pair)
        except PixelregError:
            return False
        return True

    def _threads(self) -> int:
        counts: dict[str, int] = self.client.nthreads()
        return max(1, sum(counts.values()))

    def _name_detector(self, tally: Tally) -> None:
        """Let every worker take the detector that is taken here."""
        pairs = (pair for part in tally.parts for pair in part.pairs)
        photos = (photo for pair in pairs for photo in (pair.source, pair.target))
        if self.cutter.frame is not None and any(photo.landmarks is None for photo in photos):
            locator = self.cutter.locator
            file = locator.detector_file
            named = replace(
                locator,
                detector=locator.detector_.name,
                detector_file=None if file is None else file.absolute(),
            )
            self.cutter = replace(self.cutter, locator=named)


def sum_pairs(cutter: Cutter, keep: type[Sums], pairs: Sequence[Pair]) -> Report:
    """Read pairs and sum them, with the crops of a few in memory."""
    kept = KeptSums(keep.empty(cutter.size * cutter.size * 3))
    problems: list[tuple[int, str]] = []
    first = 0
    for some in chunks(pairs, cutter.size):
        step = read_pairs(cutter, some)
        if step.content is not None:
            kept.add(step.content)
        problems += [(first + place, reason) for place, reason in step.problems]
        first += len(some)
    step = Step(len(pairs), tuple(problems), kept.sums)
    return Report(step, frozenset({_versions(cutter)}))


def add_reports(reports: Sequence[Report]) -> Report:
    """One report of pairs in a row from the reports of their parts."""
    kept: KeptSums | None = None
    problems: list[tuple[int, str]] = []
    first = 0
    for report in reports:
        step = report.step
        problems += [(first + place, reason) for place, reason in step.problems]
        first += step.pairs
        assert isinstance(step.content, Sums)
        if kept is None:
            # What came in stays as it is: the cluster may need it once more.
            kept = KeptSums(copy.deepcopy(step.content))
        else:
            kept.add(step.content)
    versions = frozenset[str]().union(*(report.versions for report in reports))
    return Report(Step(first, tuple(problems), kept.sums if kept else None), versions)


def judge_row(
    cutter: Cutter, plan: Plan, row: Sequence[Sequence[Pair]], show: int
) -> list[Verdict]:
    """The verdicts on a few chunks of pairs, of which the first ``show`` pairs are shown."""
    verdicts = []
    for pairs in row:
        verdicts.append(judge_pairs(cutter, plan, pairs, show))
        show -= len(pairs)
    return verdicts


@contextmanager
def cluster_workers(address: str, cutter: Cutter, keep: type[Sums]) -> Iterator[ClusterWorkers]:
    """Workers of the cluster whose scheduler has an address, or of one made on this machine.

    address : ``tcp://HOST:PORT``, or ``local`` for one process a core.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("Dask.distributed", "cluster", "--cluster") from error
    if address == "local":
        options: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.ERROR}
        with sigint_blocked():
            cluster = distributed.LocalCluster(n_workers=cores(), threads_per_worker=1, **options)
        with cluster, distributed.Client(cluster) as client:
            yield ClusterWorkers(client, cutter, keep)
        return
    try:
        client = distributed.Client(address, timeout=SECONDS)
    except ValueError as error:
        raise UsageError(
            f"--cluster takes tcp://HOST:PORT or local, not {address!r} ({error})"
        ) from error
    except OSError as error:
        raise PixelregError(f"no Dask scheduler answers at {address}") from error
    with client:
        if not client.nthreads():
            raise PixelregError(f"the Dask scheduler at {address} has no workers")
        yield ClusterWorkers(client, cutter, keep)


def _absolute(pair: Pair) -> Pair:
    source, target = (replace(p, file=str(p.path.absolute())) for p in (pair.source, pair.target))
    return replace(pair, source=source, target=target)


def _versions(cutter: Cutter) -> str:
    """What decides which pixels come of a file, with the versions."""
    from PIL import features

    names = [f"pixelreg {__version__}", f"Pillow {PIL.__version__}"]
    names.append(f"libjpeg {features.version('jpg')}")
    if cutter.frame is not None and cutter.locator.detector != "auto":
        names.append(detector_class(cutter.locator.detector).versions())
    return ", ".join(filter(None, names))
