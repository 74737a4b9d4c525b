# An image that serves a bundle from an NVIDIA GPU. Written, not built: this project has had no GPU yet.
#
#   docker build -f examples/gpu.Dockerfile -t stylert-gpu .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD/my-bundle:/bundle" stylert-gpu build-engine /bundle
#   docker run --gpus all -p 127.0.0.1:8000:8000 -v "$PWD/my-bundle:/bundle:ro" -v stylert-cache:/cache stylert-gpu

# No CUDA in the base: the packages bring their libraries, the NVIDIA Container Toolkit the driver.
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir '/src[gpu,serve]' && rm -rf /src && useradd --create-home stylert \
    && install -d -o stylert /cache
USER stylert
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    XDG_CACHE_HOME=/cache \
    STYLERT_TRUST_ENGINES=1
# The engines of /bundle are programs that run in here: mount what you built, and nothing else.
ENTRYPOINT ["stylert"]
CMD ["serve", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
