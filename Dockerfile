# docker build -t ingot . && docker run --rm -v "$PWD:/models" ingot run /models/m.ingot -p "Hello"
FROM debian:12 AS build
WORKDIR /ingot
COPY . .
RUN apt-get update && apt-get install -y --no-install-recommends dpkg-dev file && tools/setup && \
    cmake --preset release -DINGOT_TESTS=OFF -DINGOT_BENCH=OFF && cmake --build --preset release --target ingot && \
    cd build/release && cpack -G DEB

FROM debian:12-slim
COPY --from=build /ingot/build/release/*.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends /tmp/*.deb && rm -rf /tmp/*.deb /var/lib/apt/lists/*
WORKDIR /models
ENTRYPOINT ["ingot"]
