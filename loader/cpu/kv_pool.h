// Keys and values of many sequences in pages of one format, shared by all of them. A page id stands
// for kPageTokens positions in every layer; pages are counted by who holds them, so that sequences
// may share a prefix, and are used again when nobody does. A PageTable says which pages hold a
// sequence's positions; it copies what it shares before it writes there.
//
// Thread rule: the pool and its tables belong to one thread; during a forward threads may write
// different positions and read what was written before. Tables must not outlive their pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "loader/cpu/page_format.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

using PageId = std::uint32_t;

// Positions after a full page for which its float16 form is kept: a draft that is taken back costs
// nothing.
inline constexpr std::uint64_t kReopenTokens = 16;

class PageTable;

class KvPool {
 public:
  // Grows to `most_pages` at most. REQUIRES: a checked architecture (BoundWeights).
  KvPool(const model::Architecture& architecture, const PageFormat& format,
         std::uint64_t most_pages = UINT32_MAX);
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // Pages of one layer that stay where they are until this is destroyed: whoever moves pages to
  // slower memory leaves pinned ones alone.
  class Pinned {
   public:
    Pinned(Pinned&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          layer_(other.layer_),
          first_(other.first_),
          pages_(other.pages_) {}
    Pinned& operator=(Pinned&&) = delete;
    ~Pinned();

    // The head's part of each page of the table, and where its values begin; of formats with codes,
    // its parts of closed and of open pages (PageFormat). As attention kernels take them; null for
    // pages before those that are pinned.
    void Head(std::size_t kv_head, std::vector<const void*>& keys,
              std::vector<const void*>& values) const;

   private:
    friend class KvPool;
    Pinned(KvPool* pool, std::size_t layer, std::size_t first, std::span<const PageId> pages);
    KvPool* pool_;
    std::size_t layer_;
    std::size_t first_;
    std::span<const PageId> pages_;
  };
  // The pages that hold positions [begin, end) of a table. REQUIRES: they are reserved; the table
  // does not change while they are pinned.
  Pinned Pin(std::size_t layer, const PageTable& table, std::uint64_t begin, std::uint64_t end);

  const PageFormat& format() const { return *format_; }
  std::uint64_t resident_bytes() const { return resident_bytes_; }
  // Of a page, in all layers together.
  std::uint64_t page_bytes() const;
  std::uint64_t pages_in_use() const { return holders_.size() - free_.size(); }

 private:
  friend class PageTable;
  struct Page {
    ByteBuffer bytes;  // every kv head's part
    ByteBuffer open;   // the same in the open form, of formats with codes
    bool closed = false;
    std::uint32_t pins = 0;
  };
  struct Layer {
    std::size_t kv_heads = 0;  // 0: the layer has no attention and no pages
    std::size_t head_dim = 0;
    std::size_t head_bytes = 0;
    std::size_t values_at = 0;
    std::size_t open_head_bytes = 0;
    std::vector<Page> pages;  // by id
  };
  // Whether `count` pages can be taken.
  bool Has(std::uint64_t count) const { return count <= free_.size() + most_ - holders_.size(); }
  PageId Take();
  void Hold(PageId id) { ++holders_[id]; }
  void Drop(PageId id);
  // What stands in a page, in another one.
  void Copy(PageId from, PageId to);
  // Of formats with codes. A page that is about to be written, in every layer.
  void OpenPage(PageId id);
  // Whether its open form is there in every layer.
  bool IsOpen(PageId id) const;
  // The open form goes where the closed one is made.
  void ShutPage(PageId id);
  void Resize(ByteBuffer& buffer, std::size_t bytes);

  const PageFormat* format_;
  std::uint64_t most_;
  std::uint64_t resident_bytes_ = 0;
  std::vector<Layer> layers_;
  std::vector<std::uint32_t> holders_;  // tables that hold a page, by id
  std::vector<PageId> free_;
};

class PageTable {
 public:
  // `capacity` in positions.
  PageTable(KvPool& pool, std::uint64_t capacity) : pool_(&pool), capacity_(capacity) {}
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&&) = delete;
  ~PageTable();

  // Holds what another one holds, of the same pool; whoever writes first copies. REQUIRES: this
  // table is empty.
  void ShareFrom(const PageTable& other);

  // Takes pages of its own in the place of those that others hold, too. Limit as of Reserve:
  // nothing changes then.
  Status Own();

  // Makes room for `tokens` more. Limit when that exceeds the capacity or the pool: nothing changes
  // then.
  Status Reserve(std::uint64_t tokens);
  // Positions [length, length + tokens) have been written in every layer.
  void Commit(std::uint64_t tokens);
  // Forgets positions from `length` on. REQUIRES: length <= this->length(). Of formats with codes
  // a full page becomes partial again where its float16 form is still kept: until kReopenTokens
  // positions more than it are there. Otherwise all of its positions are forgotten, and length() is
  // less than was asked for.
  void Truncate(std::uint64_t length);

  // Of formats with codes, before a step writes: pages of positions [begin, end) are open.
  void Open(std::uint64_t begin, std::uint64_t end);
  // Pages that end at or before `end` and are not closed in the layer, by their place in pages().
  void FindUnclosed(std::size_t layer, std::uint64_t end, std::vector<std::size_t>& places) const;
  // Makes the closed form of one kv head's part from the open one; whose heads all are, is closed.
  void CloseHead(std::size_t layer, std::size_t place, std::size_t kv_head);
  void SetClosed(std::size_t layer, std::size_t place);

  // Stores a position's key and value of every kv head: kv_heads x head_dim floats each.
  // REQUIRES: the position was reserved.
  void Write(std::size_t layer, std::uint64_t position, const float* key, const float* value);

  std::uint64_t length() const { return length_; }
  std::uint64_t capacity() const { return capacity_; }
  std::span<const PageId> pages() const { return pages_; }

 private:
  // Of pages from `first` on, those that others hold, too.
  std::uint64_t SharedFrom(std::size_t first) const;
  void OwnFrom(std::size_t first);
  Status Room(std::uint64_t pages) const;

  KvPool* pool_;
  std::uint64_t capacity_;
  std::uint64_t length_ = 0;
  std::vector<PageId> pages_;
  std::size_t first_open_ = 0;  // no page before it keeps an open form for this table
};

}  // namespace ingot::loader
