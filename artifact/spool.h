// Where a pack keeps finished pieces until the file can be laid out, and what it resumes from after
// a kill: TARGET.spool holds stored chunks in the order they came, TARGET.spool.journal one
// self-checked record a slab. Chunk bytes are written before the record that names them; on resume
// they are digested again, so neither order of reaching the disk nor a torn tail can pass for a
// finished slab.
//
// Thread rule: Append, Record and Has may be called from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "base/file.h"
#include "base/status.h"

namespace ingot::artifact {

struct SpooledChunk {
  std::uint64_t spool_offset = 0;
  ChunkEntry entry;  // its offset is not known yet
};

struct SlabRecord {
  std::uint32_t tensor = 0;
  std::uint32_t slab = 0;
  std::vector<std::vector<SpooledChunk>> streams;  // of all planes, in order
  Json note;
};

class Spool {
 public:
  // Opens or creates, and locks. A journal that starts with another identity is discarded with its
  // data. InvalidArgument where a live process holds the lock.
  static Result<std::unique_ptr<Spool>> Open(const std::string& target, const Digest& identity);

  // What an earlier run left, verified; in journal order. May be called once.
  Result<std::vector<SlabRecord>> TakeResumed();

  // Writes stored bytes at the end; where they are. Io.
  Result<std::uint64_t> Append(ByteSpan stored);
  // Journals a slab whose chunks were appended. Io; the journal then ends as it did before.
  Status Record(const SlabRecord& record);

  const File& data() const { return data_; }
  const std::string& path() const { return path_; }
  // Deletes both files; the lock goes with the object.
  void Remove();

 private:
  Spool(std::string path, File data, File journal)
      : path_(std::move(path)), data_(std::move(data)), journal_(std::move(journal)) {}
  Status Start(const Digest& identity);
  Status AppendJournal(ByteSpan payload);

  std::string path_;
  File data_;
  File journal_;
  std::mutex data_mutex_;
  std::uint64_t data_end_ = 0;
  std::mutex mutex_;  // of the journal
  std::uint64_t journal_end_ = 0;
  std::vector<SlabRecord> resumed_;
};

}  // namespace ingot::artifact
