"""The one thing pyproject.toml cannot say: C extensions that are built where they can be, for every later Python too."""

import sysconfig

from setuptools import Extension, setup

# A Python without a global lock knows no limited API: there the extensions do not build, and Python does their work.
_ANY_PYTHON = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp311"}}


def extension(name: str) -> Extension:
    """Without a compiler or headers the installation goes on."""
    return Extension(name, [f"{name.replace('.', '/')}.c"], py_limited_api=True, optional=True)


setup(ext_modules=[extension("local_runner.model._cuts"), extension("local_runner.storage._lanes")], options=_ANY_PYTHON)
