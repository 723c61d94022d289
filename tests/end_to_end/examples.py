"""Stand-ins for the examples that Pachyderm ships: pipelines of the same shape, with small programs in folders in place of their images.

The names of repos, pipelines, files and images are those of the examples, and so are the commands of user code where those are part of
what is shown. The programs and the data are not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Spec = dict[str, Any]


def pfs(repo: str, glob: str, **more: object) -> Spec:
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def spec(name: str, input: Spec | None, *cmd: str, image: str = "", stdin: tuple[str, ...] = (), **more: Any) -> Spec:
    transform = {"cmd": list(cmd), **({"image": image} if image else {}), **({"stdin": list(stdin)} if stdin else {})}
    transform |= more.pop("transform", {})
    return {"pipeline": {"name": name}, **({"input": input} if input else {}), "transform": transform, **more}


# A program of an image, by the image's folder: its files, and its Dockerfile.
IMAGES: dict[str, dict[str, str]] = {
    "opencv": {
        "Dockerfile": "FROM ubuntu:20.04\nRUN apt-get update && apt-get install -y python3-opencv && cd /\nCOPY edges.py /edges.py\n",
        "edges.py": (
            "import os\n"
            "for folder, _, names in os.walk('/pfs/images', followlinks=True):\n"
            "    for name in names:\n"
            "        data = open(os.path.join(folder, name), 'rb').read()\n"
            "        open('/pfs/out/' + os.path.splitext(name)[0] + '.png', 'wb').write(data[::-1])\n"
        ),
    },
    "imagemagick": {
        "Dockerfile": "FROM alpine:3\nENV PATH=/opt/magick:$PATH\nCOPY montage /opt/magick/montage\n",
        "montage": '#!/bin/sh\nfor last; do :; done\nwhile [ $# -gt 1 ]; do [ -f "$1" ] && cat "$1" >> "$last"; shift; done\n',
    },
    "wordcount": {
        "Dockerfile": "FROM golang:1\nENV PATH=/app:$PATH\nCOPY app /app/app\n",
        "app": (
            "#!/usr/bin/env python3\n"
            "import collections, os, re, sys\n"
            "for folder, _, names in os.walk(sys.argv[1], followlinks=True):\n"
            "    for name in names:\n"
            "        words = re.findall('[a-z]+', open(os.path.join(folder, name)).read().lower())\n"
            "        for word, count in collections.Counter(words).items():\n"
            "            os.makedirs(f'{sys.argv[2]}/{name}', exist_ok=True)\n"
            "            open(f'{sys.argv[2]}/{name}/{word}', 'w').write(f'{count}\\n')\n"
        ),
    },
    "joins": {
        "Dockerfile": "FROM python:3\nWORKDIR /app\nCOPY src/ .\n",
        "src/inner/main.py": (
            "import os\n"
            "store, = os.listdir('/pfs/stores')\n"
            "zipcode = open(f'/pfs/stores/{store}').read().strip()\n"
            "os.makedirs(f'/pfs/out/{zipcode}', exist_ok=True)\n"
            "for name in os.listdir('/pfs/purchases'):\n"
            "    open(f'/pfs/out/{zipcode}/{name}', 'w').write(open(f'/pfs/purchases/{name}').read())\n"
        ),
        "src/outer/main.py": (
            "import os\n"
            "stores = os.listdir('/pfs/stores') if os.path.exists('/pfs/stores') else []\n"
            "returns = os.listdir('/pfs/returns') if os.path.exists('/pfs/returns') else []\n"
            "zipcode = open(f'/pfs/stores/{stores[0]}').read().strip() if stores else 'UNKNOWN'\n"
            "os.makedirs(f'/pfs/out/{zipcode}', exist_ok=True)\n"
            "for name in returns or ['NONE']:\n"
            "    text = open(f'/pfs/returns/{name}').read() if returns else ''\n"
            "    open(f'/pfs/out/{zipcode}/{name}', 'w').write(text)\n"
        ),
    },
    "group": {
        "Dockerfile": "FROM python:3\nWORKDIR /app\nCOPY main.py .\n",
        "main.py": (
            "import os\n"
            "def total(repo):\n"
            "    folder = f'/pfs/{repo}'\n"
            "    return sum(int(open(f'{folder}/{name}').read()) for name in os.listdir(folder)) if os.path.exists(folder) else 0\n"
            "store = os.environ['PACH_DATUM_stores_GROUP_BY']\n"
            "open(f'/pfs/out/{store}.txt', 'w').write(f\"{total('purchases') - total('returns')}\\n\")\n"
        ),
    },
    "run": {
        "Dockerfile": (
            "FROM python:slim\nARG PIPELINE_HOME\nARG SRC\nENV PIPELINE_HOME $PIPELINE_HOME\n"
            "RUN mkdir -p $PIPELINE_HOME\nCOPY $SRC/* $PIPELINE_HOME/\n"
        ),
        "src/run.sh": "#!/bin/sh\necho $DATABASE_USERNAME $(cat /pfs/in/*) > /pfs/out/said\n",
    },
    "mongo": {
        "Dockerfile": "FROM mongo:4\nENV PATH=/opt/mongo:$PATH\nCOPY mongo /opt/mongo/mongo\n",
        "mongo": '#!/bin/sh\necho connecting\necho "{ \\"asked\\": \\"$1\\" }"\n',
    },
    "spout101": {
        "Dockerfile": "FROM python:3\nWORKDIR /app\nCOPY consumer consumer\nCOPY processor processor\n",
        "consumer/main.py": (
            "import subprocess, time\n"
            "for number in range(3):\n"
            "    content = b'x' * (1024 if number % 2 else 2048)\n"
            "    subprocess.run(['pachctl', 'put', 'file', f'spout@master:/{number}', '-f', '-'], input=content, check=True)\n"
            "time.sleep(60)\n"
        ),
        "processor/main.py": (
            "import os\n"
            "for name in os.listdir('/pfs/spout'):\n"
            "    folder = f'/pfs/out/{os.path.getsize(os.path.join(\"/pfs/spout\", name)) // 1024}K'\n"
            "    os.makedirs(folder, exist_ok=True)\n"
            "    open(f'{folder}/{name}', 'w').write(name)\n"
        ),
    },
    "iris-train": {
        "Dockerfile": "FROM python:3\nRUN pip install scikit-learn\nCOPY pytrain.py /code/pytrain.py\n",
        "pytrain.py": (
            "import collections, glob, json, sys\n"
            "rows = [line.split(',') for path in glob.glob(sys.argv[1] + '*.csv') for line in open(path).read().split()]\n"
            "kinds = collections.defaultdict(list)\n"
            "for *numbers, kind in rows:\n"
            "    kinds[kind].append([float(number) for number in numbers])\n"
            "model = {kind: [sum(column) / len(found) for column in zip(*found)] for kind, found in kinds.items()}\n"
            "json.dump(model, open(sys.argv[2] + 'model.json', 'w'))\n"
        ),
    },
    "iris-infer": {
        "Dockerfile": "FROM python:3\nCOPY pyinfer.py /code/pyinfer.py\n",
        "pyinfer.py": (
            "import json, os, sys\n"
            "model = json.load(open(sys.argv[1] + 'model.json'))\n"
            "for name in os.listdir(sys.argv[2]):\n"
            "    numbers = [float(number) for number in open(sys.argv[2] + name).read().split(',')]\n"
            "    distance = lambda kind: sum((a - b) ** 2 for a, b in zip(model[kind], numbers))\n"
            "    open(sys.argv[3] + name, 'w').write(min(model, key=distance) + '\\n')\n"
        ),
    },
}

EDGES = spec("edges", pfs("images", "/*"), "python3", "/edges.py", image="pachyderm/opencv:1.0")
_MONTAGE = "montage -geometry 300x300+2+2 $(find -L {} -type f | sort) /pfs/out/montage.png"


def montage(name: str, images: str, edges: str) -> Spec:
    stdin = (_MONTAGE.format(f"/pfs/{images} /pfs/{edges}"),)
    return spec(name, {"cross": [pfs(images, "/"), pfs(edges, "/")]}, "sh", image="dpokidov/imagemagick:7", stdin=stdin)


def by_folder(repo: str) -> tuple[str, ...]:
    """Lines that gather the files of each folder of a repo in one."""
    return ("set -x", f"for f in /pfs/{repo}/*/*", "do", "out=`basename $(dirname $f)`", "cat $f >> /pfs/out/${out}.txt", "done")


def reduced(name: str, repo: str) -> Spec:
    return spec(name, pfs(repo, "/*", branch="master"), "bash", stdin=by_folder(repo))


def store_join(name: str, other: str, program: str, **more: object) -> Spec:
    stores = pfs("stores", "/STOREID(*).txt", joinOn="$1", **more)
    return spec(
        name,
        {"join": [stores, pfs(other, "/*_STOREID(*).txt", joinOn="$1", **more)]},
        "python",
        program,
        image="pachyderm/example-joins:2.1.0",
    )


def grouped(name: str, capture: str, variable: str = "PACH_DATUM_labresults_GROUP_BY") -> Spec:
    stdin = (f"mkdir -p /pfs/out/${{{variable}}}/", f"cp /pfs/labresults/* /pfs/out/${{{variable}}}/")
    return spec(name, {"group": [pfs("labresults", capture, groupBy="$1")]}, "bash", stdin=stdin)


STORES = {"stores/STOREID1.txt": "02108\n", "stores/STOREID2.txt": "02108\n", "stores/STOREID3.txt": "90210\n"}
PURCHASES = {"purchases/OR1_STOREID1.txt": "100\n", "purchases/OR2_STOREID1.txt": "50\n", "purchases/OR3_STOREID2.txt": "7\n"}
RETURNS = {"returns/OD1_STOREID1.txt": "30\n", "returns/OD2_STOREID9.txt": "1\n"}


def write(root: Path, files: dict[str, str], specs: dict[str, Spec], images: dict[str, str]) -> None:
    """Make a project in `root`: files, spec files, and a folder for each image with a line under [images]."""
    lines = [f'"{image}" = "images/{folder}"' for image, folder in images.items()]
    written = {**files, **({"local_runner.toml": "\n".join(["[images]", *lines, ""])} if images else {})}
    written |= {path: json.dumps(document, indent=2) for path, document in specs.items()}
    written |= {f"images/{folder}/{name}": text for folder in images.values() for name, text in IMAGES[folder].items()}
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
