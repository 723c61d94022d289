"""The same search in one sequential process: what is gained when nothing has to be started, kept or skipped.

python benchmarks/peers/sequential.py FOLDER      # writes the winners there
"""

import pickle
import sys
from itertools import product
from pathlib import Path

from stages import grid, load, parts


def main(folder: Path) -> None:
    train, score, choose = load("model", "train"), load("test", "score"), load("select", "choose")
    training, (features, truth) = parts()
    models, correct = {}, {}
    for c, gamma in product(*grid()):
        name = f"model_C{c}_G{gamma}"
        model = train.train(*training, c, gamma)
        models[name] = pickle.dumps(model)
        correct[name] = score.score(truth, model.predict(features).tolist())["correct"]
    folder.mkdir(parents=True, exist_ok=True)
    for name in choose.winners(correct):
        (folder / f"{name}.pkl").write_bytes(models[name])
        print(f"{name}: {correct[name]} of {len(truth)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
