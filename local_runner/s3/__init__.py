"""An S3 gateway: repos as buckets, files as objects, over the Python API alone (docs/S3.md)."""
