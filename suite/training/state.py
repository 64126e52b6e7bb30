"""What an adapter's forward may change beside gradients: put back when a step is tried again."""

from __future__ import annotations

from torch import Tensor

from variants.interface import Adapter


class State:
    """The buffers of an adapter's sites in one phase.

    All are copied to the host before the first step; before later ones only those that the first one changed,
    which most adapters have none of.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._watched = [buffer for site in adapter.sites.values() for buffer in site.buffers()]
        self._held: list[tuple[Tensor, int, Tensor]] = []
        self._first = True

    def keep(self) -> None:
        """Before a step."""
        self._held = [(b, b._version, b.detach().to("cpu", copy=True)) for b in self._watched]

    def restore(self) -> None:
        """Before the same step once more."""
        for buffer, version, copy in self._held:
            if buffer._version != version:
                buffer.copy_(copy)

    def settle(self) -> None:
        """After a step that fitted."""
        if self._first:
            self._watched = [buffer for buffer, version, _ in self._held if buffer._version != version]
            self._first = False
        self._held = []
