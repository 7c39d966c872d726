# The build's base: CPython on Debian, with the interpreter in /usr/local (this one) or in /usr.
ARG PYTHON_IMAGE=python:3.15-slim

FROM ${PYTHON_IMAGE} AS build

# If your network uses a private CA: --build-arg EXTRA_CA="$(cat authority.pem)".
# Neither this nor the package index reaches the final image.
ARG EXTRA_CA
ARG PIP_INDEX_URL
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN if [ -n "$EXTRA_CA" ]; then printf '\n%s\n' "$EXTRA_CA" >> "$SSL_CERT_FILE"; fi
# Debian's own 3.15 may stand beside an older python3, or alone.
RUN python=$(command -v python3.15 || command -v python3) \
    && "$python" -m venv /tools && "$python" -m venv --without-pip /opt/pingstate

# The dependencies, each by its hash, in a layer of their own: it is kept while only the package changes.
WORKDIR /src
COPY .docker/requirements.txt ./
RUN /tools/bin/pip --python /opt/pingstate/bin/python install --no-compile --require-hashes -r requirements.txt
COPY . ./
RUN /tools/bin/pip --python /opt/pingstate/bin/python install --no-compile --no-deps . \
    && /opt/pingstate/bin/python .docker/rootfs.py /rootfs

FROM scratch
COPY --from=build /rootfs/ /
ENV PATH=/opt/pingstate/bin \
    LANG=C.UTF-8 \
    SSL_CERT_DIR=/etc/ssl/certs \
    RES_OPTIONS="timeout:1 attempts:2" \
    PYTHONPATH=/probes \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PINGSTATE_API_HOST=::
USER 65532:65532
EXPOSE 8787
# One failed answer is enough: healthy means that /healthz says 200 now.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=1 CMD ["pingstate", "healthcheck"]
ENTRYPOINT ["pingstate"]
