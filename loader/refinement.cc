#include "loader/refinement.h"

#include <utility>

namespace ingot::loader {

Refinement::Refinement(std::shared_ptr<const Model> model)
    : model_(std::move(model)), thread_([this] {
        status_ = model_->ReadRest();
        done_.store(true, std::memory_order_release);
      }) {}

Refinement::~Refinement() {
  model_->StopReading();
  thread_.join();
}

Result<bool> Refinement::Poll() {
  if (!done()) return false;
  INGOT_TRY(Status(status_));
  return !std::exchange(in_place_, true) && model_->Refine();
}

}  // namespace ingot::loader
