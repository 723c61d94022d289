"""Images that are pulled again and again, and what lies in a cache of them."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler

from local_runner.oci.cache import ImageCache
from tests.support.images import Image, file, folder, layer, listing

Request = BaseHTTPRequestHandler

BIG = os.urandom(600_000).hex()
IMAGE = Image([layer(file("a", "1"), folder("d"), file("d/x", "x")), layer(file("a", "2"), file("d/.wh.x"))], {"Env": ["A=1"]})
LARGE = Image([layer(file("big", BIG)), layer(file("other", BIG[::-1]))])


def files_of(cache: ImageCache, name: str) -> dict[str, str]:
    with cache.merged(cache.get(name)) as place:
        return listing(place)
