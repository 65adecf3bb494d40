// Key files as bytes, before they are keys: read whole, wiped when done with, and asked whether
// they are a key that says what it is. Only bytes that say nothing may be a shared secret.
//
// Thread rule: values, no sharing.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::artifact {

// A secret that is wiped when it goes.
struct Secret {
  Secret() = default;
  explicit Secret(std::string b) : bytes(std::move(b)) {}
  Secret(Secret&& other) noexcept { std::swap(bytes, other.bytes); }
  Secret& operator=(Secret&& other) noexcept {
    std::swap(bytes, other.bytes);
    return *this;
  }
  ~Secret();
  std::string bytes;
};

struct KeyFile {
  Secret content;
  bool others_can_read = false;  // group or world, by its mode
};

// At most 64 KiB. NotFound, Io, Limit.
Result<KeyFile> ReadKeyFile(const std::string& path);

inline constexpr std::string_view kPemMark = "-----BEGIN ";

// "an OpenSSH public key", "a certificate in DER", ...: the form in which the bytes say that they
// are a key (whatever stands in front: a byte order mark, empty lines, comments). Empty where they
// do not. 32 raw bytes, in hexadecimal or base64 too, say nothing: they may be a secret.
std::string_view KeyForm(std::string_view bytes);

}  // namespace ingot::artifact
