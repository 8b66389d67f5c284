# Polymath for Hopper GPUs, from the root of the repository:
#   docker build -f deploy/docker/cuda.Dockerfile -t polymath:0.1.0-cuda .
# CUDA's toolkit comes from NVIDIA's image; the driver's libraries are mounted by the container runtime.
ARG CUDA=nvidia/cuda:13.0.1-devel-ubuntu24.04
FROM ${CUDA} AS cuda

FROM debian:12 AS build
COPY --from=cuda /usr/local/cuda-13.0 /usr/local/cuda
WORKDIR /src
COPY . .
RUN tools/setup.sh packages \
 && cmake --preset cuda-release -DPOLYMATH_DEV=OFF \
 && cmake --build --preset cuda-release --target polymath \
 && tools/image_root.sh build/cuda-release/polymath /image /usr/local/cuda/lib64/libcublasLt.so.13

FROM scratch
COPY --from=build /image /
ENV HF_HOME=/models NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/usr/bin/polymath"]
CMD ["--help"]
