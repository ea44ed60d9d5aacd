"""Tests reach no network, use one thread and write nothing into the user's folders; notebook kernels inherit this."""

import os
import shutil
import tempfile

_own = tempfile.mkdtemp(prefix="vfm_test_")
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    OMP_NUM_THREADS="1",
    VFM_PROGRESS="off",
    VFM_CACHE=os.path.join(_own, "cache"),
    IPYTHONDIR=os.path.join(_own, "ipython"),
    JUPYTER_PREFER_ENV_PATH="1",
)

# Set here and not as MPLBACKEND: kernels must keep their inline backend, or their outputs would differ.
import matplotlib  # noqa: E402

matplotlib.use("Agg")


def pytest_unconfigure():
    shutil.rmtree(_own, ignore_errors=True)
