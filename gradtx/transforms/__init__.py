"""The algorithms: what an optimizer does with a gradient, one step of a chain each."""

from gradtx.transforms import (
    accumulating,
    accumulation,
    adam_family,
    adam_steps,
    adaptive,
    attention,
    averaging,
    bounded,
    clipping,
    constraining,
    curvature,
    dadaptation,
    distance,
    dual_averaging,
    frugal,
    ftrl,
    mixing,
    momentum,
    noise,
    nonfinite,
    normalizing,
    per_example,
    plateau,
    polyak,
    prodigy,
    projected,
    quasi_hyperbolic,
    scaling,
    second_moment,
    sign,
    size,
    spikes,
)
from gradtx.transforms.accumulating import *
from gradtx.transforms.accumulation import *
from gradtx.transforms.adam_family import *
from gradtx.transforms.adam_steps import *
from gradtx.transforms.adaptive import *
from gradtx.transforms.attention import *
from gradtx.transforms.averaging import *
from gradtx.transforms.bounded import *
from gradtx.transforms.clipping import *
from gradtx.transforms.constraining import *
from gradtx.transforms.curvature import *
from gradtx.transforms.dadaptation import *
from gradtx.transforms.distance import *
from gradtx.transforms.dual_averaging import *
from gradtx.transforms.frugal import *
from gradtx.transforms.ftrl import *
from gradtx.transforms.mixing import *
from gradtx.transforms.momentum import *
from gradtx.transforms.noise import *
from gradtx.transforms.nonfinite import *
from gradtx.transforms.normalizing import *
from gradtx.transforms.per_example import *
from gradtx.transforms.plateau import *
from gradtx.transforms.polyak import *
from gradtx.transforms.prodigy import *
from gradtx.transforms.projected import *
from gradtx.transforms.quasi_hyperbolic import *
from gradtx.transforms.scaling import *
from gradtx.transforms.second_moment import *
from gradtx.transforms.sign import *
from gradtx.transforms.size import *
from gradtx.transforms.spikes import *

__all__ = [
    *accumulating.__all__,
    *accumulation.__all__,
    *adam_family.__all__,
    *adam_steps.__all__,
    *adaptive.__all__,
    *attention.__all__,
    *averaging.__all__,
    *bounded.__all__,
    *clipping.__all__,
    *constraining.__all__,
    *curvature.__all__,
    *dadaptation.__all__,
    *distance.__all__,
    *dual_averaging.__all__,
    *frugal.__all__,
    *ftrl.__all__,
    *mixing.__all__,
    *momentum.__all__,
    *noise.__all__,
    *nonfinite.__all__,
    *normalizing.__all__,
    *per_example.__all__,
    *plateau.__all__,
    *polyak.__all__,
    *prodigy.__all__,
    *projected.__all__,
    *quasi_hyperbolic.__all__,
    *scaling.__all__,
    *second_moment.__all__,
    *sign.__all__,
    *size.__all__,
    *spikes.__all__,
]
