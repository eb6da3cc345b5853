"""Whether CuPy could compile a kernel here, found out without a GPU and without a driver: a small one really is compiled."""

from __future__ import annotations

import warnings

BARE = 'extern "C" __global__ void probe(float* value) { *value = 1; }'
WITH_HEADERS = '#include <cuda_fp16.h>\nextern "C" __global__ void probe(__half* value) { *value = 1; }'


def nvrtc_version() -> str:
    """The version of NVRTC, CUDA's compiler at run time. Raises what CuPy raises where it is not found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns of broken installations; who asks will say it
        from cupy.cuda import nvrtc

        return ".".join(str(number) for number in nvrtc.getVersion())


def compile_probe(source: str, architecture: str) -> None:
    """Compile a text for an architecture ("sm_90") with the folders of headers that CuPy gives to its own kernels.

    Raises CuPy's `CompileException` with the compiler's words. `_NVRTCProgram` is private: see compile.py.
    """
    from cupy._core.core import assemble_cupy_compiler_options
    from cupy.cuda.compiler import _NVRTCProgram

    options = assemble_cupy_compiler_options(())
    _NVRTCProgram(source, "probe.cu", method="cubin").compile((*options, f"-arch={architecture}"))
