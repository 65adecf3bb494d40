// Errors as values. Every fallible function returns Status or Result<T>; nothing below tools/ prints,
// exits or throws across a room's border. A message is one line: what, where, the number, what to do.
// Thread rule: values, no sharing.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ingot {

// What a caller branches on; tools/ maps them to exit codes.
enum class StatusCode {
  kOk = 0,
  kInvalidArgument,  // the caller's request makes no sense
  kNotFound,         // a file, tensor or key that was asked for is absent
  kUnsupported,      // well-formed, but not something this build handles
  kCorruption,       // bytes contradict their digest, their format or each other
  kUntrusted,        // signature missing, wrong or of another key
  kIo,               // the operating system refused
  kLimit,            // a budget (memory, size, count) would be exceeded
  kCancelled,        // who asked for it no longer wants it
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // Puts the place in front of the message: "model.safetensors: header is 12 bytes too long".
  Status At(std::string_view place) && {
    if (!ok()) message_ = std::string(place) + ": " + message_;
    return std::move(*this);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return Status(); }
inline Status InvalidArgument(std::string m) { return {StatusCode::kInvalidArgument, std::move(m)}; }
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status Unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status Corruption(std::string m) { return {StatusCode::kCorruption, std::move(m)}; }
inline Status Untrusted(std::string m) { return {StatusCode::kUntrusted, std::move(m)}; }
inline Status IoError(std::string m) { return {StatusCode::kIo, std::move(m)}; }
inline Status LimitExceeded(std::string m) { return {StatusCode::kLimit, std::move(m)}; }

// A value or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}           // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {    // NOLINT(google-explicit-constructor)
    if (status_.ok()) std::abort();  // an OK Result needs a value
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  // REQUIRES: ok().
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  // By value, so that `for (x : *F())` keeps what it walks.
  T operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

  Result<T> At(std::string_view place) && {
    if (!ok()) status_ = std::move(status_).At(place);
    return std::move(*this);
  }

 private:
  std::optional<T> value_;
  Status status_;
};

// A broken invariant of our own. No file content may reach one.
#define INGOT_CHECK(condition)                                                              \
  do {                                                                                      \
    if (!(condition)) {                                                                     \
      std::fprintf(stderr, "%s:%d: internal error: %s\n", __FILE__, __LINE__, #condition);  \
      std::abort();                                                                         \
    }                                                                                       \
  } while (0)

#define INGOT_TRY(expression)                                                    \
  do {                                                                           \
    if (auto ingot_status_ = (expression); !ingot_status_.ok()) return ingot_status_; \
  } while (0)

#define INGOT_CONCAT_INNER(a, b) a##b
#define INGOT_CONCAT(a, b) INGOT_CONCAT_INNER(a, b)
// INGOT_ASSIGN(auto x, F()): x is F()'s value, or the enclosing function returns its Status.
#define INGOT_ASSIGN(declaration, expression) \
  INGOT_ASSIGN_INNER(INGOT_CONCAT(ingot_result_, __LINE__), declaration, expression)
#define INGOT_ASSIGN_INNER(result, declaration, expression) \
  auto result = (expression);                               \
  if (!result.ok()) return std::move(result).status();      \
  declaration = *std::move(result)

}  // namespace ingot
