"""Unit vectors like embeddings."""

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def like_embeddings(n: int, seed: int) -> np.ndarray:
    """Unit rows (n, 96): many numbers a row, few of them free."""
    rng = np.random.default_rng(seed)
    return unit(np.tanh(rng.normal(size=(n, 16)) @ rng.normal(size=(16, 96))))
