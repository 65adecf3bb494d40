// What changing and cutting one text needs and may use.
// Thread rule: belongs to one thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "base/status.h"
#include "model/text/regex.h"

namespace ingot::model {

// Bytes that a file's normalizers and pre-tokenizers may add to a text. A step's rules come from
// the file: without a bound a character could become megabytes, and steps multiply.
class TextGrowth {
 public:
  static constexpr std::size_t kAlways = 1 << 20;
  static constexpr std::size_t kPerByte = 64;

  // For a text of so many bytes.
  void Begin(std::size_t text_bytes) {
    text_bytes_ = text_bytes;
    allowed_ = left_ = kAlways + std::min(text_bytes, kMost / kPerByte) * kPerByte;
  }
  // Whether a stretch of `before` bytes may become one of `after`.
  bool Fits(std::size_t before, std::size_t after) const {
    return after <= before || after - before <= left_;
  }
  // Takes what it grew by. Limit where that is more than is left.
  Status Take(std::size_t before, std::size_t after) {
    if (!Fits(before, after))
      return LimitExceeded("normalizing adds more than " + std::to_string(allowed_) +
                           " bytes to a text of " + std::to_string(text_bytes_) +
                           ": the tokenizer's rules are damaged");
    if (after > before) left_ -= after - before;
    return OkStatus();
  }

 private:
  static constexpr std::size_t kMost = std::size_t{1} << 40;
  std::size_t text_bytes_ = 0;
  std::size_t allowed_ = 0;
  std::size_t left_ = 0;
};

struct TextScratch {
  RegexScratch regex;
  TextGrowth growth;
};

}  // namespace ingot::model
