// The zip archive that torch.save writes since PyTorch 1.6: every record stored as it is, so that a
// record is a byte range of the file and tensors can be mapped. Layout, read from the back:
//   local header, name, extra (padding to 64 bytes), data [, data descriptor]   once a record
//   central directory: one header a record | [zip64 end record, its locator] | end record, comment
// Source: PKWARE APPNOTE 6.3.10. Checksums are not compared: torch.save can be told not to compute
// them, and torch.load never looks at them.
//
// Thread rule: values, no sharing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::model {

struct ZipRecord {
  std::string name;
  std::uint64_t offset = 0;  // of its data, in the file
  std::uint64_t bytes = 0;
};

// True where the file starts as a zip archive does.
bool LooksLikeZip(ByteSpan file);

// The records of an archive, sorted by name; directory entries ("x/") are left out. Unsupported: a
// record that is compressed or encrypted, an archive of several disks. Corruption: a truncated
// archive, ranges out of the file or over each other, local and central header that disagree,
// names given twice, names that leave the archive ("..", absolute, backslash, control characters).
Result<std::vector<ZipRecord>> ParseTorchZip(ByteSpan file);

// nullptr where there is none. REQUIRES: records sorted by name.
const ZipRecord* FindRecord(const std::vector<ZipRecord>& records, std::string_view name);

}  // namespace ingot::model
