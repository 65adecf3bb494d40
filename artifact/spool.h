// Where a pack keeps finished pieces until the file can be laid out, and what it resumes from after
// a kill: TARGET.spool holds a magic and stored chunks in the order they came, TARGET.spool.journal
// a record a slab (artifact/journal.h). Chunk bytes are written before the record that names them;
// on resume they are digested again, so neither order of reaching the disk nor a torn tail can pass
// for a finished slab. Both files are the caller's own (files/owned_file.h): what else lies at
// their names is refused and left alone.
//
// Thread rule: Append and Record may be called from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "artifact/journal.h"
#include "base/file.h"
#include "base/status.h"
#include "files/temporary.h"

namespace ingot::artifact {

class Spool {
 public:
  // Opens or creates, and locks. A journal of another identity, or one that this user did not
  // write, is discarded with its data. InvalidArgument where a live process holds the lock, or
  // where something else lies at one of the two names.
  static Result<std::unique_ptr<Spool>> Open(const std::string& target, const Digest& identity);
  // Without a slab there is nothing to resume: both files go.
  ~Spool();

  // What an earlier run left, verified; in journal order. May be called once.
  Result<std::vector<SlabRecord>> TakeResumed();

  // Writes stored bytes at the end; where they are. Io.
  Result<std::uint64_t> Append(ByteSpan stored);
  // Journals a slab whose chunks were appended. Io; the journal then ends as it did before.
  Status Record(const SlabRecord& record);

  const File& data() const { return data_.file; }
  const std::string& path() const { return data_.path; }
  // Deletes both files; the lock goes with the object.
  void Remove();

 private:
  // One of the two files. REQUIRES: it is ours.
  struct OwnFile {
    std::string path;
    File file;
    files::Tracked tracked;
  };
  Spool(OwnFile data, OwnFile journal, const Digest& key)
      : data_(std::move(data)), journal_(std::move(journal)), chain_(key) {}
  static Result<OwnFile> OpenLocked(const std::string& path);
  static Result<OwnFile> CheckedFile(const std::string& path, File file, ByteSpan magic);
  static void Unlink(OwnFile& own);
  Status Start(const Digest& identity, const Digest& key);
  Status Restart(const Digest& identity);
  // Cuts off what no record names: a disk that was full may have room for the rest only then.
  Status DropUnnamed();
  Status AppendJournal(ByteSpan payload);
  // From now on a dying process leaves the files.
  void Keep();

  OwnFile data_;
  OwnFile journal_;
  std::mutex data_mutex_;
  std::uint64_t data_end_ = 0;
  std::mutex mutex_;  // of the journal
  std::uint64_t journal_end_ = 0;
  JournalChain chain_;
  std::vector<SlabRecord> resumed_;
  bool kept_ = false;
};

}  // namespace ingot::artifact
