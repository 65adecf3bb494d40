// The limits that verify and load are measured against, as one JSON object:
//   floors_bench FILE [THREADS]
//     digest_seconds     BLAKE3 over FILE's bytes in memory, THREADS threads, 4 MiB pieces
//     read_seconds       FILE read once from the page cache into a reused 4 MiB buffer a thread
//     memory_seconds     FILE's bytes, already mapped in, summed once with 64-byte loads
//     digest_one_core_gbps
// Each the minimum of five passes after one warm-up. FILE should be in the page cache.
#include <blake3.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "base/file.h"
#include "model/source/mapped_file.h"

namespace {

constexpr std::size_t kPiece = std::size_t{4} << 20;

double Seconds(const std::function<void()>& body) {
  double best = 1e30;
  for (int pass = 0; pass < 6; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (pass > 0) best = std::min(best, seconds);
  }
  return best;
}

// Calls piece(index) for every piece from `threads` threads.
void OverPieces(std::size_t count, unsigned threads,
                const std::function<void(std::size_t)>& piece) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> pool;
  for (unsigned t = 0; t < threads; ++t)
    pool.emplace_back([&] {
      for (std::size_t i = next++; i < count; i = next++) piece(i);
    });
  for (auto& thread : pool) thread.join();
}

std::atomic<std::uint64_t> g_sink{0};

void SumPiece(ingot::ByteSpan bytes) {
  std::uint64_t lanes[8] = {};
  const std::size_t vectors = bytes.size() / 64;
  for (std::size_t i = 0; i < vectors; ++i)
    for (std::size_t j = 0; j < 8; ++j)
      lanes[j] += ingot::LoadLe<std::uint64_t>(bytes.data() + i * 64 + j * 8);
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  g_sink += sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: floors_bench FILE [THREADS]\n");
    return 2;
  }
  const unsigned threads = argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 2;
  auto mapped = ingot::model::MappedFile::Open(argv[1]);
  auto file = ingot::File::OpenRead(argv[1]);
  if (!mapped.ok() || !file.ok()) {
    fmt::print(stderr, "{}\n", mapped.ok() ? file.status().message() : mapped.status().message());
    return 5;
  }
  const ingot::ByteSpan all = mapped->bytes();
  const std::size_t pieces = ingot::CeilDiv(all.size(), kPiece);
  const auto piece = [&](std::size_t i) {
    return all.subspan(i * kPiece, std::min(kPiece, all.size() - i * kPiece));
  };
  const auto digest = [&](std::size_t i) {
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, piece(i).data(), piece(i).size());
    std::uint8_t out[BLAKE3_OUT_LEN];
    blake3_hasher_finalize(&hasher, out, sizeof out);
    g_sink += out[0];
  };
  bool failed = false;
  const double memory =
      Seconds([&] { OverPieces(pieces, threads, [&](auto i) { SumPiece(piece(i)); }); });
  const double digest_all = Seconds([&] { OverPieces(pieces, threads, digest); });
  const double digest_one = Seconds([&] { OverPieces(pieces, 1, digest); });
  const double read = Seconds([&] {
    OverPieces(pieces, threads, [&](std::size_t i) {
      thread_local ingot::ByteBuffer buffer(kPiece);
      if (!file->ReadAt(i * kPiece, buffer.span().first(piece(i).size())).ok()) failed = true;
    });
  });
  if (failed) return 1;
  fmt::print(
      "{{\"bytes\": {}, \"threads\": {}, \"digest_seconds\": {:.5f}, \"read_seconds\": {:.5f}, "
      "\"memory_seconds\": {:.5f}, \"digest_one_core_gbps\": {:.3f}}}\n",
      all.size(), threads, digest_all, read, memory,
      static_cast<double>(all.size()) / digest_one / 1e9);
  return 0;
}
