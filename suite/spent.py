"""What a cell cost: the part of a record that is about time, memory, operations and bytes."""

from __future__ import annotations

from pydantic import Field

from suite.origin import Fact


class StepFlops(Fact):
    """Floating-point operations of the matrix products of one training step: see `suite.flops`."""

    forward: int
    backward: int = Field(description="with what is computed again, where activations are not kept")
    tokens: int = Field(description="non-padding tokens of that step")

    @property
    def total(self) -> int:
        """Of the whole step."""
        return self.forward + self.backward

    @property
    def per_token(self) -> float:
        """Of the whole step, for each of its tokens."""
        return self.total / self.tokens


class Times(Fact):
    """Milliseconds of one forward, batch 1, median of repeats after a warm-up."""

    prompt_ms: float = Field(description="of the whole prompt")
    token_ms: float = Field(description="of one token alone, as a step of generation is, but with no past")


class Latency(Fact):
    """Inference of one model on a fixed text (that of `Effect`), in the precision that it is scored in."""

    tokens: int = Field(description="of the prompt")
    base: Times = Field(description="the untouched base")
    adapter: Times = Field(description="the base with the adapter beside it")
    merged: Times | None = Field(
        description="the deltas added to the weights; null where a method has none or they do not fit"
    )


class Cost(Fact):
    """What the cell cost, on the machine of the provenance. Null is what a source does not say.

    Of a cell that trained in a pack of several, only its own part is there: what was measured of the pass as
    a whole (memory, operations) or beside others (start, latency) is null.
    """

    pack: int | None = Field(
        default=None, description="how many cells trained in this pass; its times are those of all of them"
    )
    train_wall_s: float | None = None
    train_cpu_s: float | None = None
    evaluate_wall_s: float | None = None
    evaluate_cpu_s: float | None = None
    start_s: float | None = Field(
        default=None,
        description="wall seconds of attaching: decompositions, quantisation, a look at examples",
    )
    peak_memory_bytes: int | None = Field(default=None, description="of training, by `memory_method`")
    memory_method: str | None = Field(
        default=None,
        description="'live-tensors' (CPU, exact count), 'cuda-max-allocated', or a source's own word",
    )
    reserved_memory_bytes: int | None = Field(
        default=None, description="the most that CUDA's allocator held in training; null on a CPU"
    )
    tokens: int | None = Field(default=None, description="non-padding tokens trained on, all phases")
    flops: StepFlops | None = Field(default=None, description="of the second step of the first phase")
    adapter_bytes: int | None = Field(
        default=None,
        description="of the exported safetensors: the adapter without any base, or the whole model where "
        "plain weights are exported",
    )
    latency: Latency | None = None
    micro_batch: int | None = Field(
        default=None, description="rows of one forward at the end of training; null is the whole batch"
    )
    checkpointing: bool | None = Field(default=None, description="whether activations were recomputed")
    attention: str | None = Field(default=None, description="the attention kernel, as transformers calls it")

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens trained on per second of training; null in a pack of several, whose time is not a cell's."""
        if not self.tokens or not self.train_wall_s or self.pack not in (None, 1):
            return None
        return self.tokens / self.train_wall_s
