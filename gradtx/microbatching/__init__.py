"""A function of a batch computed in several parts, one after the other: less memory.

`microbatch` runs a function on parts of the batch and adds up, averages or joins what
it gives; `micro_vmap` and `micro_grad` do so for what is computed for each example.
The names and the arguments are Optax's.
"""

from gradtx.microbatching.accumulation import (
    AccumulationType as AccumulationType,
    Accumulator as Accumulator,
)
from gradtx.microbatching.batches import reshape_batch_axis as reshape_batch_axis
from gradtx.microbatching.functions import (
    IndividualOutputs as IndividualOutputs,
    micro_grad as micro_grad,
    micro_vmap as micro_vmap,
    microbatch as microbatch,
)
