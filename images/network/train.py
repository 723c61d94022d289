"""Stage `network`: trains a small convolutional network by one point, on one fold, and prints its loss after each epoch.

A 3 × 3 convolution, a rectifier, pooling by 2 × 2, dropout, and one linear layer; trained by stochastic gradient descent on cross-entropy.
Writes `k3-s0/POINT/FOLD.json` with the accuracy on the test rows and the losses.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

EPOCHS, BATCH, SIDE = 5, 32, 8


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(pictures from 0 to 1, digits) of a CSV file."""
    rows = np.loadtxt(path, delimiter=",")
    return rows[:, :-1].reshape(-1, SIDE, SIDE) / 16, rows[:, -1].astype(int)


def patches(pictures: np.ndarray) -> np.ndarray:
    """The 3 × 3 neighbourhood of each inner pixel: pictures × 6 × 6 × 9."""
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (3, 3), axis=(1, 2))
    return windows.reshape(*windows.shape[:3], 9)


class Network:
    """The weights, and what is done with them. `keep` is the share of pooled values that dropout keeps."""

    def __init__(self, channels: int, pooling: str, keep: float, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.pooling, self.keep = pooling, keep
        self.kernel = self.chance.normal(0, np.sqrt(2 / 9), (9, channels))
        self.weights = self.chance.normal(0, np.sqrt(1 / (9 * channels)), (9 * channels, 10))
        self.bias = np.zeros(10)

    def pooled(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(patches, blocks of 2 × 2 rectified values, one value a block)."""
        seen = patches(pictures)
        rectified = np.maximum(seen @ self.kernel, 0)
        count, channels = len(pictures), self.kernel.shape[1]
        blocks = rectified.reshape(count, 3, 2, 3, 2, channels).transpose(0, 1, 3, 5, 2, 4).reshape(count, 3, 3, channels, 4)
        return seen, blocks, blocks.max(axis=-1) if self.pooling == "max" else blocks.mean(axis=-1)

    def probabilities(self, flat: np.ndarray) -> np.ndarray:
        logits = flat @ self.weights + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def step(self, pictures: np.ndarray, digits: np.ndarray, rate: float) -> float:
        """One step down the gradient; returns the loss before it."""
        seen, blocks, pooled = self.pooled(pictures)
        mask = (self.chance.random(pooled.shape) < self.keep) / self.keep
        flat = (pooled * mask).reshape(len(pictures), -1)
        guesses = self.probabilities(flat)
        loss = -np.log(guesses[np.arange(len(digits)), digits] + 1e-12).mean()
        error = guesses.copy()
        error[np.arange(len(digits)), digits] -= 1
        error /= len(digits)
        back = (error @ self.weights.T).reshape(pooled.shape) * mask
        share = (blocks == pooled[..., None]) if self.pooling == "max" else np.full(blocks.shape, 0.25)
        spread = (share * back[..., None] * (blocks > 0)).reshape(len(pictures), 3, 3, -1, 2, 2)
        spread = spread.transpose(0, 1, 4, 2, 5, 3).reshape(len(pictures), 6, 6, -1)
        self.weights -= rate * flat.T @ error
        self.bias -= rate * error.sum(axis=0)
        self.kernel -= rate * np.tensordot(seen, spread, axes=([0, 1, 2], [0, 1, 2]))
        return float(loss)

    def accuracy(self, pictures: np.ndarray, digits: np.ndarray) -> float:
        flat = self.pooled(pictures)[2].reshape(len(pictures), -1)
        return float((self.probabilities(flat).argmax(axis=1) == digits).mean())


def main() -> None:
    np.seterr(all="ignore")  # a learning rate that is too high gives infinite weights: its loss says so
    source, fold = Path(os.environ["network_points"]), Path(os.environ["digits"])
    point = json.loads(source.read_text())
    pictures, digits = read_table(fold / "train.csv")
    network = Network(point["channels"], point["pooling"], point["keep"], seed=1)
    losses = []
    for epoch in range(1, EPOCHS + 1):
        order = network.chance.permutation(len(digits))
        steps = [network.step(pictures[part], digits[part], point["rate"]) for part in np.array_split(order, len(order) // BATCH)]
        losses.append(float(np.mean(steps)))
        print(f"epoch {epoch} of {EPOCHS}: loss {losses[-1]:.4f}", flush=True)
        if not np.isfinite(losses[-1]):
            sys.exit(f"the loss is {losses[-1]}: the rate {point['rate']} is too high")
    result = point | {"accuracy": network.accuracy(*read_table(fold / "test.csv")), "losses": losses}
    target = Path(sys.argv[1], fold.parent.name, source.stem, f"{fold.name}.json")
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
