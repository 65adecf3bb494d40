// Text that a command line names: a file, a pipe, or "-" for standard input. UTF-8 alone comes out
// of here; a byte order mark before it is taken off.
//
// Thread rule: ReadText may be called from several threads.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace ingot::untrusted {

inline constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 30;

// How a name is called in errors and results: "standard input" for "-" and its other names.
std::string TextName(const std::string& name);

// The whole text. A stream can be read once, so what it held is kept for whoever asks again.
// InvalidArgument for a directory or a block device, and for what is no UTF-8: UTF-16 and UTF-32 by
// their marks, bytes with a NUL, a bad sequence (names the byte); Limit past `max_bytes`; NotFound,
// Io. The status names the text.
Result<std::string> ReadText(const std::string& name, std::uint64_t max_bytes = kMaxTextBytes);

// The same check for text that is here already; takes off the mark.
Status CheckText(std::string& text);

}  // namespace ingot::untrusted
