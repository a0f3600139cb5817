# capflog with all that it needs, for who has no Python at hand:
#
#   docker build -t capflog .
#   docker run --rm -v "$PWD:/work:ro" capflog check bundle.zip

FROM python:3.11-slim AS made
WORKDIR /source
COPY LICENSE README.md pyproject.toml ./
COPY docs/capflog.1 docs/capflog.1
COPY capflog capflog
COPY parsers parsers
COPY rules rules
RUN python -m venv /opt/capflog \
    && /opt/capflog/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="capflog" \
      org.opencontainers.image.description="Finds out why Cisco IP phones do not get their certificates (CAPF Online CA)." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=made /opt/capflog /opt/capflog

# What reads large logs is compiled here, not in each run: for any processor of this kind, as the image may run on
# another one than it was built on. The folder and that of kept analyses (mount a volume there to have them longer than
# the container) are everybody's, for `docker run --user` may name whoever owns the bundle.
ENV PATH=/opt/capflog/bin:$PATH \
    PYTHONUTF8=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CPU_FEATURES="" \
    NUMBA_CACHE_DIR=/var/cache/capflog \
    CAPFLOG_STORE=/var/lib/capflog
RUN /opt/capflog/bin/python -c 'from capflog.scanning import prepare; prepare()' \
    && mkdir -p "$CAPFLOG_STORE" \
    && chmod -R a+rwX "$NUMBA_CACHE_DIR" "$CAPFLOG_STORE" \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin capflog
# (A number: a cluster that wants no root sees that it is none.)
USER 10001
WORKDIR /work
ENTRYPOINT ["capflog"]
CMD ["--help"]
