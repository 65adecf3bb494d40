#include "loader/reference_cache.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "artifact/reader.h"

namespace ingot::loader {
namespace {

constexpr char kCacheMagic[8] = {'I', 'N', 'G', 'R', 'E', 'F', '0', '1'};
constexpr std::uint64_t kCacheHeaderBytes = 8 + 32 + 8 + 8;
constexpr std::uint64_t kFixedBytes = 8 + 8 + 4 + 4;
constexpr float kRangeNats = 32.0f;
constexpr float kStep = kRangeNats / 65535.0f;

std::uint64_t RecordBytes(std::uint64_t vocab) { return kFixedBytes + 2 * vocab; }

std::vector<std::uint8_t> HeaderBytes(const artifact::Digest& key, std::uint64_t vocab,
                                      std::uint64_t positions) {
  std::vector<std::uint8_t> header(kCacheHeaderBytes);
  std::memcpy(header.data(), kCacheMagic, 8);
  std::memcpy(header.data() + 8, key.data(), key.size());
  StoreLe(header.data() + 40, vocab);
  StoreLe(header.data() + 48, positions);
  return header;
}

// Name, size and time of a file, or of every file right in a directory.
std::string FileFacts(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::set<std::string> facts;
  const auto add = [&](const fs::path& file) {
    const auto size = fs::file_size(file, error);
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    facts.insert(file.string() + "|" + std::to_string(size) + "|" + std::to_string(time) + "\n");
  };
  if (fs::is_directory(path, error)) {
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      if (it->is_regular_file(error)) add(it->path());
  } else {
    add(path);
  }
  std::string all;
  for (const std::string& fact : facts) all += fact;
  return all;
}

}  // namespace

artifact::Digest ReferenceKey(const Model& reference, std::span<const EvalWindow> windows) {
  std::string text = reference.compute() == Compute::kExact ? "exact\n" : "fast\n";
  if (reference.artifact() != nullptr)
    text += HexOf(reference.artifact()->root()) + "\n";
  else
    text += FileFacts(reference.source());
  for (const EvalWindow& window : windows) {
    text += std::to_string(window.ids.size()) + " " + std::to_string(window.first_target) + "\n";
    text += AsText(BytesOf(std::span<const model::TokenId>(window.ids)));
  }
  return artifact::DigestOf(AsBytes(text));
}

Result<ReferenceCacheWriter> ReferenceCacheWriter::Create(const std::string& path,
                                                          const artifact::Digest& key,
                                                          std::uint64_t vocab,
                                                          std::uint64_t positions) {
  INGOT_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  INGOT_TRY(file.Append(HeaderBytes(key, vocab, positions)));
  return ReferenceCacheWriter(std::move(file), vocab);
}

Status ReferenceCacheWriter::Append(const CachedPosition& position, const float* logits) {
  record_.resize(RecordBytes(vocab_));
  StoreLe(record_.data(), position.nll);
  StoreLe(record_.data() + 8, position.stats.sum_exp);
  StoreLe(record_.data() + 16, position.stats.max);
  StoreLe(record_.data() + 20, position.stats.argmax);
  for (std::uint64_t i = 0; i < vocab_; ++i) {
    const float below = std::min(65535.0f, (position.stats.max - logits[i]) / kStep);
    StoreLe(record_.data() + kFixedBytes + 2 * i, static_cast<std::uint16_t>(below + 0.5f));
  }
  return file_.Append(record_);
}

Result<std::optional<ReferenceCacheReader>> ReferenceCacheReader::Open(const std::string& path,
                                                                       const artifact::Digest& key,
                                                                       std::uint64_t vocab,
                                                                       std::uint64_t positions) {
  using Maybe = std::optional<ReferenceCacheReader>;
  auto file = File::OpenRead(path);
  if (!file.ok() && file.status().code() == StatusCode::kNotFound) return Maybe();
  if (!file.ok()) return std::move(file).status();
  INGOT_ASSIGN(const std::uint64_t size, file->Size());
  if (size != kCacheHeaderBytes + positions * RecordBytes(vocab)) return Maybe();
  std::vector<std::uint8_t> header(kCacheHeaderBytes);
  INGOT_TRY(file->ReadAt(0, header).At(path));
  if (header != HeaderBytes(key, vocab, positions)) return Maybe();
  return Maybe(ReferenceCacheReader(*std::move(file), vocab));
}

Status ReferenceCacheReader::Read(std::uint64_t index, CachedPosition& position, float* logits) {
  record_.resize(RecordBytes(vocab_));
  INGOT_TRY(file_.ReadAt(kCacheHeaderBytes + index * RecordBytes(vocab_), record_));
  position.nll = LoadLe<double>(record_.data());
  position.stats.sum_exp = LoadLe<double>(record_.data() + 8);
  position.stats.max = LoadLe<float>(record_.data() + 16);
  position.stats.argmax = LoadLe<std::uint32_t>(record_.data() + 20);
  for (std::uint64_t i = 0; i < vocab_; ++i)
    logits[i] =
        position.stats.max -
        kStep * static_cast<float>(LoadLe<std::uint16_t>(record_.data() + kFixedBytes + 2 * i));
  return OkStatus();
}

}  // namespace ingot::loader
