"""Benchmarks of gradtx beside Optax and PyTorch; see benchmarks/README.md."""
