"""Stage `select`: copies every model that is tied for the most correct answers, under its own name. Standard library only."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def winners(correct: Mapping[str, int]) -> list[str]:
    """The names with the most correct answers, all of them when several are tied, sorted."""
    most = max(correct.values())
    return sorted(name for name, count in correct.items() if count == most)


def main() -> None:
    models, scores = Path(os.environ["model"]), Path(os.environ["test"])
    results = {path.stem: json.loads(path.read_text()) for path in scores.glob("*.json")}
    best = winners({name: result["correct"] for name, result in results.items()})
    for name in best:
        Path(sys.argv[1], f"{name}.pkl").write_bytes((models / f"{name}.pkl").read_bytes())
    result = results[best[0]]
    print(f"{len(best)} of {len(results)} models name {result['correct']} of {result['total']} rows correctly: {', '.join(best)}")


if __name__ == "__main__":
    main()
