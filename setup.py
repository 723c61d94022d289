"""The one thing pyproject.toml cannot say: a C extension that is built where it can be, for every later Python too."""

import sysconfig

from setuptools import Extension, setup

# A Python without a global lock knows no limited API: there the extension does not build, and numpy does its work.
_ANY_PYTHON = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp311"}}

setup(
    ext_modules=[
        Extension(
            "local_runner.model._cuts",
            ["local_runner/model/_cuts.c"],
            py_limited_api=True,
            optional=True,  # no compiler, no headers: the installation goes on without it
        )
    ],
    options=_ANY_PYTHON,
)
