#include "jobs/session_logits.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace ingot::jobs {
namespace {

class SessionLogits : public loader::LogitSource {
 public:
  SessionLogits(std::shared_ptr<const loader::Model> model, loader::ExitPolicy* exits)
      : session_(std::move(model)) {
    if (exits != nullptr) exits_.emplace(session_.runner(), *exits);
  }
  std::size_t vocab_size() const override { return session_.model().architecture().vocab_size; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override {
    session_.Reset();
    INGOT_ASSIGN(const auto hidden, session_.Hidden(window.first(window.size() - 1), first));
    logits_ = session_.Logits(hidden, 0, window.size() - 1 - first);
    return std::span<const float>(logits_.data(), logits_.size());
  }
  Result<std::span<const float>> MaskedLogits(std::span<const std::int32_t> window,
                                              std::span<const std::uint32_t> positions,
                                              std::int32_t mask_id) override {
    std::vector<std::int32_t> ids(window.begin(), window.end());
    masked_logits_.clear();
    masked_logits_.reserve(positions.size() * vocab_size());
    for (const std::uint32_t position : positions) {
      const std::int32_t token = std::exchange(ids[position], mask_id);
      session_.Reset();
      INGOT_ASSIGN(const auto hidden, session_.Hidden(ids, position));
      const loader::Tensor row = session_.Logits(hidden, 0, 1);
      masked_logits_.insert(masked_logits_.end(), row.data(), row.data() + row.size());
      ids[position] = token;
    }
    return std::span<const float>(masked_logits_);
  }

 private:
  loader::Session session_;
  std::optional<loader::ExitsOf> exits_;
  loader::Tensor logits_;
  std::vector<float> masked_logits_;
};

class RememberedLogits : public loader::LogitSource {
 public:
  explicit RememberedLogits(std::shared_ptr<const loader::Model> model)
      : session_(std::move(model)) {}
  std::size_t vocab_size() const override { return session_.model().architecture().vocab_size; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override {
    std::vector<std::int32_t> key(window.begin(), window.end());
    key.push_back(static_cast<std::int32_t>(first));
    auto known = hidden_.find(key);
    if (known == hidden_.end()) {
      session_.Reset();
      INGOT_ASSIGN(loader::Tensor hidden, session_.Hidden(window.first(window.size() - 1), first));
      known = hidden_.emplace(std::move(key), std::move(hidden)).first;
    }
    logits_ = session_.Logits(known->second, 0, window.size() - 1 - first);
    return std::span<const float>(logits_.data(), logits_.size());
  }

 private:
  loader::Session session_;
  std::map<std::vector<std::int32_t>, loader::Tensor> hidden_;
  loader::Tensor logits_;
};

}  // namespace

std::unique_ptr<loader::LogitSource> RememberedLogitsOf(
    std::shared_ptr<const loader::Model> model) {
  return std::make_unique<RememberedLogits>(std::move(model));
}

std::unique_ptr<loader::LogitSource> LogitsOf(std::shared_ptr<const loader::Model> model,
                                              loader::ExitPolicy* exits) {
  return std::make_unique<SessionLogits>(std::move(model), exits);
}

}  // namespace ingot::jobs
