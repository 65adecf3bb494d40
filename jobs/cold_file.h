// A file outside the page cache, for measuring what a first start costs.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <string>

namespace ingot::jobs {

// Writes back what is dirty and asks the system to forget the file's pages (of a folder, its
// files). Whether none of them is in memory now; false where the system keeps them.
bool DropFromCache(const std::string& path);

// Of a file, or of a folder's files; 0 where neither can be read.
std::uint64_t FileBytes(const std::string& path);

}  // namespace ingot::jobs
