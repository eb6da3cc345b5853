# nnbackend in a container.
#
#   docker build --target cpu -t nnbackend:cpu .       NumPy and Numba
#   docker build -t nnbackend:cuda .                   the same and CuPy with the CUDA 13 libraries (driver 580 or newer)
#
# docs/docker.md shows how to run them. There is no CUDA toolkit image underneath: the wheels that `cupy-cuda13x[ctk]`
# brings hold the libraries, NVRTC and the headers, and the host gives the driver. Versions are pinned in constraints.txt.

# -- what is installed: one virtual environment for each target ----------------------------------------------------------

FROM python:3.12-slim AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/source/constraints.txt PIP_BUILD_CONSTRAINT=/source/constraints.txt
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/nnbackend

FROM environment AS cpu-environment
COPY pyproject.toml README.md LICENSE ./
COPY nnbackend nnbackend
RUN /opt/nnbackend/bin/pip install '.[jit]'

FROM environment AS cuda-environment
# The large wheels first: a change of the library does not fetch them again.
RUN /opt/nnbackend/bin/pip install --constraint constraints.txt 'cupy-cuda13x[ctk]'
COPY pyproject.toml README.md LICENSE ./
COPY nnbackend nnbackend
RUN /opt/nnbackend/bin/pip install '.[jit,cuda13]'

# -- what runs -----------------------------------------------------------------------------------------------------------

FROM python:3.12-slim AS runtime
# Any user may run it, on a read-only root too: what is kept while it runs goes under /tmp.
ENV PATH=/opt/nnbackend/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/nnbackend/numba \
    CUPY_CACHE_DIR=/tmp/nnbackend/cupy \
    MPLCONFIGDIR=/tmp/nnbackend/matplotlib
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nnbackend \
    && install --directory --mode 1777 /tmp/nnbackend \
    && install --directory --owner nnbackend --group nnbackend /data
WORKDIR /data
USER 10001:10001
ENTRYPOINT ["nnbackend"]
CMD ["--help"]

FROM runtime AS cpu
COPY --from=cpu-environment /opt/nnbackend /opt/nnbackend

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=cuda-environment /opt/nnbackend /opt/nnbackend
