#pragma once

// Memory of a JSON tree, counted in a budget that many trees share.
//
//   auto never_fits = std::make_shared<bool>(false);
//   auto memory = boost::json::make_shared_resource<JsonMemory>(budget, never_fits);
//   parse_json(text, limits, memory);      // kUnavailable where the budget has too few bytes
//
// It throws std::bad_alloc beyond the budget; parse_json catches that. The bytes return when the last value is
// destroyed. Thread safety: one thread at a time, as for the values themselves.

#include <memory>
#include <new>
#include <utility>

#include "base/byte_budget.h"
#include "base/json.h"
#include "boost/json/memory_resource.hpp"

namespace polymath::base {

class JsonMemory final : public boost::json::memory_resource {
 public:
  // `never_fits` becomes true when an allocation fails that an otherwise unused budget would refuse, too.
  // REQUIRES: the budget outlives every value.
  JsonMemory(ByteBudget& budget, std::shared_ptr<bool> never_fits)
      : budget_(budget), grant_(budget), never_fits_(std::move(never_fits)) {}

 private:
  static constexpr size_t kSlab = 1u << 20;  // taken from the budget at once

  void* do_allocate(size_t bytes, size_t align) override {
    if (used_ + bytes > grant_.bytes() && !grant_.grow_to(used_ + bytes + kSlab)) {
      *never_fits_ = used_ + bytes + kSlab > budget_.bytes_max();
      throw std::bad_alloc();
    }
    void* const memory = ::operator new(bytes, std::align_val_t(align));
    used_ += bytes;
    return memory;
  }
  void do_deallocate(void* memory, size_t bytes, size_t align) override {
    used_ -= bytes;
    ::operator delete(memory, std::align_val_t(align));
  }
  bool do_is_equal(const boost::json::memory_resource& other) const noexcept override { return this == &other; }

  ByteBudget& budget_;
  ByteGrant grant_;
  size_t used_ = 0;
  const std::shared_ptr<bool> never_fits_;
};

// As parse_json of base/json.h, with the tree in `memory`.
absl::StatusOr<JsonValue> parse_json(std::string_view text, const JsonLimits& limits,
                                     const boost::json::storage_ptr& memory);

}  // namespace polymath::base
