"""Record the codes that torchao's 8-bit, 4-bit and float8 optimizers keep.

    pip install torch==2.13.0 torchao==0.18.0
    python tests/reference/torchao_codes.py

writes torchao_codes.npz: for each kind the codes of `numbers()` and their scales.
"""

import pathlib

import numpy as np

SHAPE = (16, 1024)


def numbers() -> dict[str, np.ndarray]:
    """A mean of five decades, and a second moment of ten."""
    draw = np.random.default_rng(0)
    sizes = 10.0 ** draw.uniform(-5, 0, SHAPE)
    mean = draw.standard_normal(SHAPE) * sizes
    return {"mean": mean.astype(np.float32), "square": (mean**2).astype(np.float32)}


def main() -> None:
    import torch
    from torchao.optim import quant_utils
    from torchao.optim.subclass_4bit import OptimState4bit
    from torchao.optim.subclass_8bit import OptimState8bit
    from torchao.optim.subclass_fp8 import OptimStateFp8

    recorded = {}
    for name, x in numbers().items():
        given, signed = torch.from_numpy(x), name == "mean"
        eight = OptimState8bit.zeros(SHAPE, signed, block_size=256)
        eight.copy_(given)
        recorded[f"int8 {name}"] = eight.codes.numpy()
        recorded[f"int8 {name} scales"] = eight.scale.numpy()
        four = OptimState4bit.zeros(SHAPE, signed, block_size=128)
        shares, scales = quant_utils.scale_tensor(given, 128)
        codes = quant_utils.quantize_4bit_with_qmap(shares, four.qmap)
        recorded[f"int4 {name}"] = codes.numpy().reshape(SHAPE)
        recorded[f"int4 {name} scales"] = scales.numpy()
        float8 = OptimStateFp8.zeros(SHAPE, block_size=256)
        float8.copy_(given)
        recorded[f"float8 {name}"] = float8.codes.view(torch.uint8).numpy()
    path = pathlib.Path(__file__).with_suffix(".npz")
    np.savez_compressed(path, **recorded)
    print({name: x.shape for name, x in recorded.items()})


if __name__ == "__main__":
    main()
