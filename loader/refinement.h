// Reads the finer levels of a model that was opened early beside the steps of a session, and puts
// them in place between two of them.
//
// Thread rule: belongs to one thread, the session's; reads on one of its own.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "base/status.h"
#include "loader/loaded_model.h"

namespace ingot::loader {

class Refinement {
 public:
  // Starts to read.
  explicit Refinement(std::shared_ptr<const Model> model);
  // Ends reading where it waits for a pipe, else waits for it.
  ~Refinement();
  Refinement(const Refinement&) = delete;
  Refinement& operator=(const Refinement&) = delete;

  // Between steps: whether the levels came and are now in place, true once. The error of reading
  // them (Model::ReadRest), every time. REQUIRES: no other session of the model is in a step.
  Result<bool> Poll();
  // Whether reading has ended.
  bool done() const { return done_.load(std::memory_order_acquire); }

 private:
  std::shared_ptr<const Model> model_;
  Status status_;  // of the thread, once done_
  std::atomic<bool> done_{false};
  bool in_place_ = false;
  std::thread thread_;
};

}  // namespace ingot::loader
