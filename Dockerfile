# The two images, on any base with Python 3.11 or newer, its venv module, CA certificates, bash and grep:
#   docker build --target operator  --tag raysmith-operator:0.1.0 .
#   docker build --target workloads --tag raysmith-workloads:0.1.0-cpu .
#   docker build --target workloads --tag raysmith-workloads:0.1.0-gpu --build-arg REQUIREMENTS=gpu .
# Dependencies come first: a change of our own code makes small layers only.
ARG BASE=python:3.12-slim

# The one line of requirements/dev.txt that matters here: others may change without making the large layers anew.
FROM ${BASE} AS pins
COPY requirements/dev.txt /
RUN sed -n '/^uv==/,/# via/p' /dev.txt > /uv.txt

FROM ${BASE} AS uv
COPY --from=pins /uv.txt /
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes -r /uv.txt

FROM uv AS wheels
COPY requirements/dev.txt /
COPY operator /src/operator
COPY workloads /src/workloads
RUN for package in operator workloads; do \
      UV_SYSTEM_CERTS=1 /opt/uv/bin/uv build --quiet --wheel --out-dir /wheels/$package \
        --build-constraints /dev.txt --require-hashes /src/$package || exit 1; \
    done

FROM ${BASE} AS operator
RUN --mount=from=uv,source=/opt/uv,target=/opt/uv \
    --mount=source=requirements/operator.txt,target=/requirements.txt \
    --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv --without-pip /opt/raysmith && \
    UV_SYSTEM_CERTS=1 /opt/uv/bin/uv pip sync --quiet --python /opt/raysmith/bin/python --link-mode=copy --compile-bytecode \
      --require-hashes /requirements.txt
RUN --mount=from=uv,source=/opt/uv,target=/opt/uv --mount=from=wheels,source=/wheels,target=/wheels \
    /opt/uv/bin/uv pip install --quiet --python /opt/raysmith/bin/python --no-cache --offline --no-deps --compile-bytecode \
      /wheels/operator/*.whl
ENV PATH=/opt/raysmith/bin:$PATH PYTHONUNBUFFERED=1
# A number: only then can a kubelet see that it is not root.
USER 1000
ENTRYPOINT ["python", "-m", "raysmith.operator_main"]

FROM ${BASE} AS workloads
# KubeRay's probes call wget.
RUN apt-get update -qq && apt-get install -qqy --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
ARG REQUIREMENTS=cpu
# uv's cache is a mount of its own: a new pin downloads one package. Bytecode is compiled now: user 1000 cannot store it later.
RUN --mount=from=uv,source=/opt/uv,target=/opt/uv \
    --mount=source=requirements/${REQUIREMENTS}.txt,target=/requirements.txt \
    --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv --without-pip /opt/raysmith && \
    UV_SYSTEM_CERTS=1 /opt/uv/bin/uv pip sync --quiet --python /opt/raysmith/bin/python --link-mode=copy --compile-bytecode \
      --require-hashes /requirements.txt
# vLLM's kernels for CPUs are linked against it.
RUN apt-get update -qq && apt-get install -qqy --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
RUN --mount=from=uv,source=/opt/uv,target=/opt/uv --mount=from=wheels,source=/wheels,target=/wheels \
    /opt/uv/bin/uv pip install --quiet --python /opt/raysmith/bin/python --no-cache --offline --no-deps --compile-bytecode \
      /wheels/*/*.whl
ENV PATH=/opt/raysmith/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
