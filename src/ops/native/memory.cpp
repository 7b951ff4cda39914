// Memory of tensors on the CPU: large blocks are kept when a tensor goes, for the next one of the size.
//
// A training step makes and frees the same large tensors over and over. The C library gives such blocks back to the system
// each time, which then has to clear and map each page anew: a third of the time of a step. Blocks here lie on huge pages.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>

namespace glisten {
namespace {

constexpr size_t HUGE_PAGE = size_t(2) << 20;
// From here on a block is kept; smaller ones are the C library's.
constexpr size_t LARGE = size_t(1) << 20;

class Kept {
 public:
  void* take(size_t size) {
    size = rounded(size);
    std::lock_guard<std::mutex> lock(mutex_);
    // The smallest that does, unless more than an eighth of it would lie idle.
    auto found = free_.lower_bound(size);
    if (found != free_.end() && found->first - size <= size / 8) {
      void* block = found->second;
      idle_ -= found->first;
      sizes_[block] = found->first;
      free_.erase(found);
      return block;
    }
    void* block = map(size);
    if (!block && idle_ > 0) {
      drop(0);
      block = map(size);
    }
    if (block) sizes_[block] = size;
    return block;
  }

  // False if `block` is none of these.
  bool give_back(void* block) {
    // All of these begin at a page, which hardly any other does.
    if (reinterpret_cast<uintptr_t>(block) % 4096 != 0) return false;
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = sizes_.find(block);
    if (found == sizes_.end()) return false;
    const size_t size = found->second;
    sizes_.erase(found);
    free_.emplace(size, block);
    idle_ += size;
    drop(limit_);
    return true;
  }

 private:
  static size_t rounded(size_t size) {
    // So that blocks of nearly one size are of one size.
    const size_t step = size >= HUGE_PAGE ? HUGE_PAGE : size_t(1) << 18;
    return (size + step - 1) / step * step;
  }

  static void* map(size_t size) {
    // Huge pages begin at multiples of their size: what is mapped beyond is unmapped again.
    const size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    void* all = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    if (slack == 0) return all;
    char* begin = static_cast<char*>(all);
    char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(all) + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
    if (aligned > begin) munmap(begin, aligned - begin);
    const size_t behind = (begin + size + slack) - (aligned + size);
    if (behind > 0) munmap(aligned + size, behind);
#ifdef MADV_HUGEPAGE
    madvise(aligned, size, MADV_HUGEPAGE);
#endif
    return aligned;
  }

  // Gives the largest idle blocks back until no more than `limit` bytes are idle.
  void drop(size_t limit) {
    while (idle_ > limit) {
      auto last = std::prev(free_.end());
      munmap(last->second, last->first);
      idle_ -= last->first;
      free_.erase(last);
    }
  }

  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  std::unordered_map<void*, size_t> sizes_;
  size_t idle_ = 0;
  // What idle blocks may hold: what a step of a large network takes, but no more than a quarter of the machine's memory.
  const size_t limit_ = std::min(
      size_t(4) << 30, static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE)) / 4);
};

// Never destroyed: tensors may outlive everything.
Kept& kept() {
  static Kept* blocks = new Kept;
  return *blocks;
}

class Memory final : public c10::Allocator {
 public:
  explicit Memory(c10::Allocator* small) { small_ = small; }

  c10::DataPtr allocate(size_t size) override {
    void* block = size >= LARGE ? kept().take(size) : nullptr;
    // Of what is too large libtorch's own allocator says so.
    if (!block) block = small_->raw_allocate(size);
    return {block, block, &free_block, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }

  void copy_data(void* to, const void* from, size_t count) const override { small_->copy_data(to, from, count); }

 private:
  static void free_block(void* block) {
    if (block && !kept().give_back(block)) small_->raw_deallocate(block);
  }

  static c10::Allocator* small_;
};

c10::Allocator* Memory::small_ = nullptr;

// When this library is loaded, which is before any tensor is made.
__attribute__((constructor)) void keep_large_blocks() {
  static Memory* memory = new Memory(c10::GetDefaultCPUAllocator());
  c10::SetCPUAllocator(memory, /*priority=*/1);
}

}  // namespace
}  // namespace glisten
