"""Record losses of PyTorch, and their gradients: python torch_losses.py

In float64; CTC is of sequences that are too long for all alignments to be listed.
"""

import json
import pathlib

import numpy as np
import torch
from torch.nn import functional

torch.set_default_dtype(torch.float64)
ROWS, FRAMES, CLASSES, LABELS = 4, 14, 5, 6
FRAME_COUNTS, LABEL_COUNTS = [14, 14, 11, 9], [6, 4, 1, 0]


def logits():
    place = np.arange(ROWS * FRAMES * CLASSES).reshape(ROWS, FRAMES, CLASSES)
    return 3 * np.sin(1.3 * place + 0.1 * place**1.1)


def labels():
    """With repetitions; the blank is 0."""
    place = np.arange(ROWS * LABELS).reshape(ROWS, LABELS)
    return 1 + (place // 2 + place % 5 // 3) % (CLASSES - 1)


def scores(shift=0.0):
    return 2 * np.cos(np.arange(20.0).reshape(4, 5) * 1.7 + shift)


def ctc():
    x = torch.tensor(logits(), requires_grad=True)
    loss = functional.ctc_loss(
        functional.log_softmax(x, -1).transpose(0, 1),
        torch.tensor(labels()),
        torch.tensor(FRAME_COUNTS),
        torch.tensor(LABEL_COUNTS),
        reduction="none",
    )
    loss.sum().backward()
    return loss, x.grad


def of_scores(f):
    x = torch.tensor(scores(), requires_grad=True)
    y = torch.tensor(scores(1.0), requires_grad=True)
    loss = f(x, y)
    loss.sum().backward()
    return loss, x.grad


CLASS = torch.tensor([0, 3, 1, 4])
RECIPES = {
    "ctc_loss": ctc,
    "huber_loss": lambda: of_scores(
        lambda x, y: functional.huber_loss(x, y, reduction="none", delta=0.7)
    ),
    "cross_entropy": lambda: of_scores(
        lambda x, y: functional.cross_entropy(
            x, CLASS, reduction="none", label_smoothing=0.2
        )
    ),
    "binary_cross_entropy_with_logits": lambda: of_scores(
        lambda x, y: functional.binary_cross_entropy_with_logits(
            x, torch.sigmoid(y), reduction="none"
        )
    ),
    "kl_div": lambda: of_scores(
        lambda x, y: functional.kl_div(
            functional.log_softmax(x, -1),
            functional.log_softmax(y, -1),
            reduction="none",
            log_target=True,
        ).sum(-1)
    ),
    "cosine_similarity": lambda: of_scores(
        lambda x, y: functional.cosine_similarity(x, y, dim=-1)
    ),
}

if __name__ == "__main__":
    lines = []
    for name, recipe in RECIPES.items():
        loss, gradient = (t.detach().numpy().tolist() for t in recipe())
        line = {"loss": loss, "gradient": gradient}
        lines.append(f"{json.dumps(name)}: {json.dumps(line)}")
    version = json.dumps({"torch": torch.__version__})
    inputs = {
        "logits": logits().tolist(),
        "labels": labels().tolist(),
        "frames": FRAME_COUNTS,
        "counts": LABEL_COUNTS,
        "x": scores().tolist(),
        "y": scores(1.0).tolist(),
        "class": CLASS.tolist(),
    }
    lines.insert(0, f'"inputs": {json.dumps(inputs)}')
    text = f'{{"versions": {version},\n' + ",\n".join(lines) + "\n}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)
