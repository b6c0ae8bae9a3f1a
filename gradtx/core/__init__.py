"""The algebra: pairs, how they are lifted to trees, chained and remembered."""

from gradtx.core.lift import (
    entrywise as entrywise,
    leafwise as leafwise,
    treewise as treewise,
)
from gradtx.core.pair import Pair as Pair, Part as Part, Scope as Scope
from gradtx.core.precision import rounded as rounded, zero_updates as zero_updates
from gradtx.core.roles import (
    ZERO as ZERO,
    Count as Count,
    Mean as Mean,
    Other as Other,
    Point as Point,
    Scalar as Scalar,
    Square as Square,
    slots as slots,
)
from gradtx.core.rule import hyper_at as hyper_at, resolve as resolve
from gradtx.core.transformation import (
    GradientTransformation as GradientTransformation,
    OptState as OptState,
    Params as Params,
    Updates as Updates,
    chain as chain,
    identity as identity,
    init_empty_state as init_empty_state,
    transformation as transformation,
)
from gradtx.core.wrap import (
    around_one as around_one,
    inner_pair as inner_pair,
    wrapper as wrapper,
)
