"""Arrays that stay in a GPU's memory between runs: where a model's inputs and outputs lie."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pixelreg.arrays import Array

KEPT = 4  # sets of shapes whose memory is kept: a full batch, the rest of one, and two sizes


class Buffers:
    """Memory of a device for inputs of one set of shapes, and for what a run makes of them.

    place : the device, by onnxruntime's name, and its number.

    What a graph gives must have the same shape whenever its inputs have, as networks do.
    """

    def __init__(self, ort: Any, session: Any, place: tuple[str, int], inputs: Mapping[str, Array]):
        self._session = session
        self._binding = session.io_binding()
        self._inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(array, *place) for name, array in inputs.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._names = [output.name for output in session.get_outputs()]
        for name in self._names:
            self._binding.bind_output(name, *place)
        self.fresh = True  # there was no run yet, so the outputs' shapes are not known

    def run(self, inputs: Mapping[str, Array], options: Any) -> list[Array]:
        """All outputs; what lies between operators never leaves the device."""
        if not self.fresh:
            for name, array in inputs.items():
                self._inputs[name].update_inplace(array)
        self._session.run_with_iobinding(self._binding, options)
        if self.fresh:
            self._keep_outputs()
        return self._binding.copy_outputs_to_cpu()

    def _keep_outputs(self) -> None:
        """Let later runs write where the first one did."""
        made = self._binding.get_outputs()
        self._binding.clear_binding_outputs()
        for name, value in zip(self._names, made, strict=True):
            self._binding.bind_ortvalue_output(name, value)
        self.fresh = False


class Pool:
    """The buffers of the sets of shapes that were run last.

    graphs : whether the device records the work of a run, to repeat it without asking again.
    """

    def __init__(self, ort: Any, session: Any, place: tuple[str, int], graphs: bool) -> None:
        self._ort, self._session, self._place, self._graphs = ort, session, place, graphs
        self._kept: OrderedDict[Any, tuple[int, Buffers]] = OrderedDict()
        self._made = 0

    def run(self, inputs: Mapping[str, Array], options: Any) -> list[Array]:
        """All outputs of the graph, in its order."""
        key = tuple((name, array.shape, array.dtype.str) for name, array in inputs.items())
        number, buffers = self._kept.pop(key, (0, None))
        if buffers is None:
            number = self._made = self._made + 1
            buffers = Buffers(self._ort, self._session, self._place, inputs)
        if self._graphs:  # -1: nothing is recorded before all has its place
            recorded = -1 if buffers.fresh else number
            options.add_run_config_entry("gpu_graph_id", str(recorded))
        made = buffers.run(inputs, options)  # what fails is not kept
        self._kept[key] = number, buffers
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return made
