# kernel-harness beside CUDA's compilers and profilers: docker build --tag=harness .
# How it is run, and what it may do then: docs/how-to/container.md.
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-devel-ubuntu24.04

FROM ${CUDA_IMAGE} AS wheel
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-pip python3-venv
COPY LICENSE README.md pyproject.toml setup.py /source/
COPY server /source/server
COPY tools /source/tools
COPY kernels /source/kernels
COPY skills /source/skills
RUN python3 -m venv /build
RUN /build/bin/pip wheel --no-deps --wheel-dir /wheels /source

FROM ${CUDA_IMAGE}
# git keeps the archive; g++ and Python's headers build what binds C++; ncu reads counters.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates git g++ python3 python3-dev python3-venv cuda-nsight-compute-13-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /wheels /wheels
RUN python3 -m venv /opt/kernel-harness
RUN /opt/kernel-harness/bin/pip install --no-cache-dir "$(echo /wheels/kernel_harness-*.whl)[gpu]"
ENV PATH=/opt/kernel-harness/bin:${PATH} \
    KERNEL_HARNESS_DATA_DIR=/data
VOLUME /data
ENTRYPOINT ["kernel-harness"]
CMD ["serve"]
