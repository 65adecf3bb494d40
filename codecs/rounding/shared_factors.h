// Factors of one Hessian for all who round by it: matrices that read the same activations (q, k and
// v), and the recipes that are tried on one matrix. Each way of factoring is done once.
//
// Thread rule: any thread. Who comes while another factors helps it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"

namespace ingot::codecs {

class HessianFactors;

class SharedFactors {
 public:
  using Made = Result<std::shared_ptr<const HessianFactors>>;
  SharedFactors();
  ~SharedFactors();

  // What `make` gave the first time it was asked for by this key: how the Hessian is factored.
  // `make` may run in parallel inside; it must not call Get.
  Made Get(const std::string& key, const std::function<Made()>& make);

 private:
  struct Entry;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
};

}  // namespace ingot::codecs
