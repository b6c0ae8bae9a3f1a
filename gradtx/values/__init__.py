"""Values that remember the call that made them: made, checked, printed and read."""

from gradtx.values.arguments import (
    Allowed as Allowed,
    Bound as Bound,
    Constant as Constant,
    Decay as Decay,
    DType as DType,
    Function as Function,
    Hyper as Hyper,
    LearningRate as LearningRate,
    NonNegative as NonNegative,
    NonNegativeConstant as NonNegativeConstant,
    Number as Number,
    PositiveConstant as PositiveConstant,
    Steps as Steps,
    StepsOrZero as StepsOrZero,
    is_number as is_number,
    one_of as one_of,
)
from gradtx.values.errors import (
    Misfit as Misfit,
    check_call as check_call,
    naming as naming,
    wrong_type as wrong_type,
)
from gradtx.values.places import shown_too as shown_too
from gradtx.values.text import brief as brief
from gradtx.values.value import (
    Value as Value,
    calling as calling,
    checked as checked,
    recorded as recorded,
    refuse as refuse,
)
