// Where LibTorch's exceptions end: what a run threw as a Status.
//
// Thread rule: stateless.
#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <exception>
#include <new>
#include <utility>

#include "base/status.h"

namespace ingot::calibration {

// `body`'s own Result or Status; Limit where memory ran out, Io for whatever LibTorch threw.
template <typename Body>
auto InsideTorch(Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return LimitExceeded("out of memory: lower --memory");
  } catch (const c10::Error& error) {
    return IoError(fmt::format("LibTorch: {}", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return IoError(fmt::format("LibTorch: {}", error.what()));
  }
}

}  // namespace ingot::calibration
