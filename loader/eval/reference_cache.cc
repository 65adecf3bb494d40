#include "loader/eval/reference_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/float_formats.h"

namespace ingot::loader {
namespace {

constexpr std::string_view kAnyMagic = "INGREF";
constexpr std::string_view kMagic = "INGREF02";
constexpr std::size_t kHeadBytes = 24;

std::string Head(const std::string& key, std::size_t vocabulary, std::size_t positions) {
  std::string head(kMagic);
  head.resize(kHeadBytes);
  StoreLe(head.data() + 8, static_cast<std::uint32_t>(key.size()));
  StoreLe(head.data() + 12, static_cast<std::uint32_t>(vocabulary));
  StoreLe(head.data() + 16, static_cast<std::uint64_t>(positions));
  return head + key;
}

}  // namespace

std::size_t RecordBytes(std::size_t vocabulary) { return 16 + vocabulary * 2 + sizeof(Digest); }

Result<std::optional<ReferenceCacheReader>> ReferenceCacheReader::Open(const std::string& path,
                                                                       const std::string& key,
                                                                       std::size_t vocabulary,
                                                                       std::size_t positions,
                                                                       bool replace) {
  std::optional<ReferenceCacheReader> none;
  auto file = File::OpenRead(path);
  if (!file.ok()) {
    if (file.status().code() == StatusCode::kNotFound) return none;
    return std::move(file).status();
  }
  INGOT_ASSIGN(const std::uint64_t bytes, file->Size().At(path));
  const std::string expected = Head(key, vocabulary, positions);
  std::string head(std::min<std::uint64_t>(bytes, expected.size()), '\0');
  INGOT_TRY(file->ReadAt(0, {reinterpret_cast<std::uint8_t*>(head.data()), head.size()}).At(path));
  if (!head.starts_with(kAnyMagic) && !head.empty())
    return InvalidArgument(path + ": is no cache of a reference's answers; choose another name");
  if (head != expected && !head.empty() && !replace)
    return InvalidArgument(path +
                           ": holds a reference's answers to another text, model or windows; "
                           "--force replaces it");
  if (head != expected) return none;
  const auto body = CheckedMul(positions, RecordBytes(vocabulary));
  if (!body || *body != bytes - expected.size())
    return Corruption(
        fmt::format("{}: {} bytes where {} positions of {} logits were expected; delete it", path,
                    bytes, positions, vocabulary));
  return std::optional<ReferenceCacheReader>(
      ReferenceCacheReader(path, *std::move(file), expected.size(), vocabulary));
}

Result<ReferencePosition> ReferenceCacheReader::Next() {
  INGOT_TRY(file_.ReadAt(offset_, record_).At(path_));
  const ByteSpan answer = ByteSpan(record_).first(record_.size() - sizeof(Digest));
  if (!std::ranges::equal(DigestOf(answer), ByteSpan(record_).subspan(answer.size())))
    return Corruption(
        fmt::format("{}: byte {} and {} after it were changed since they were "
                    "written; delete it",
                    path_, offset_, record_.size() - 1));
  offset_ += record_.size();
  for (std::size_t i = 0; i < logits_.size(); ++i)
    logits_[i] = FromFp16(LoadLe<std::uint16_t>(record_.data() + 16 + 2 * i));
  return ReferencePosition{LoadLe<double>(record_.data()),
                           LoadLe<std::uint32_t>(record_.data() + 8), logits_};
}

Result<ReferenceCacheWriter> ReferenceCacheWriter::Create(const std::string& path,
                                                          const std::string& key,
                                                          std::size_t vocabulary,
                                                          std::size_t positions) {
  INGOT_ASSIGN(files::AtomicFile file, files::AtomicFile::Create(path));
  INGOT_TRY(file.Append(AsBytes(Head(key, vocabulary, positions))));
  return ReferenceCacheWriter(std::move(file), vocabulary);
}

Status ReferenceCacheWriter::Add(double nll, std::uint32_t argmax, std::span<const float> logits,
                                 double log_sum) {
  StoreLe(record_.data(), nll);
  StoreLe(record_.data() + 8, argmax);
  StoreLe(record_.data() + 12, std::uint32_t{0});
  for (std::size_t i = 0; i < logits.size(); ++i)
    StoreLe(record_.data() + 16 + 2 * i,
            ToFp16(static_cast<float>(static_cast<double>(logits[i]) - log_sum)));
  const ByteSpan answer = ByteSpan(record_).first(record_.size() - sizeof(Digest));
  std::ranges::copy(DigestOf(answer), record_.data() + answer.size());
  return file_.Append(record_);
}

}  // namespace ingot::loader
