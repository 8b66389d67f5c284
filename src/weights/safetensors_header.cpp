#include "weights/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace polymath::weights {
namespace {

using boost::json::error_code;
using boost::json::string_view;
using tensor::DType;

struct DTypeRow {
  std::string_view name;
  uint64_t bits;
  DType dtype;  // kCount: listed, checked, and refused by read()
};
constexpr DTypeRow kDTypes[] = {
    {"F32", 32, DType::kF32},      {"F16", 16, DType::kF16},      {"BF16", 16, DType::kBf16},
    {"I32", 32, DType::kI32},      {"I64", 64, DType::kI64},      {"U8", 8, DType::kU8},
    {"F64", 64, DType::kF64},      {"U64", 64, DType::kCount},    {"U32", 32, DType::kCount},
    {"U16", 16, DType::kCount},    {"I16", 16, DType::kCount},    {"I8", 8, DType::kCount},
    {"BOOL", 8, DType::kCount},    {"C64", 64, DType::kCount},    {"F8_E4M3", 8, DType::kCount},
    {"F8_E5M2", 8, DType::kCount}, {"F8_E8M0", 8, DType::kCount}, {"F6_E2M3", 6, DType::kCount},
    {"F6_E3M2", 6, DType::kCount}, {"F4", 4, DType::kCount},
};
static_assert(std::endian::native == std::endian::little, "tensors are used as they lie in the file");

constexpr size_t kLengthBytes = 8;
constexpr size_t kDepthMax = 32;  // root, tensor, array, and what is skipped; deeper JSON is refused by the parser

// Bytes of `shape` elements of `bits` each. Nullopt: the number of bits overflows uint64_t, or ends within a byte. A
// dimension of 0 does not hide an overflow of the others.
std::optional<uint64_t> bytes_of(const tensor::Shape& shape, uint64_t bits) {
  uint64_t total = bits;
  bool empty = false;
  for (int i = 0; i < shape.rank(); ++i) {
    empty |= shape[i] == 0;
    const auto dim = static_cast<uint64_t>(std::max<int64_t>(shape[i], 1));
    if (__builtin_mul_overflow(total, dim, &total)) return std::nullopt;
  }
  if (empty) return 0;
  if (total % 8 != 0) return std::nullopt;
  return total / 8;
}

// Takes the parser's events, to see both of two equal keys. A document would keep only the last.
// Every on_*() returns false after complain(), which ends the parse.
class HeaderHandler {
 public:
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX;  // the header's own length is the limit
  static constexpr size_t max_string_size = SIZE_MAX;

  explicit HeaderHandler(size_t tensors_max) : tensors_max_(tensors_max) {}

  std::vector<StoredTensor> tensors;
  std::string complaint;

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& ec);
  bool on_object_end(size_t, error_code& ec);
  bool on_array_begin(error_code& ec);
  bool on_array_end(size_t, error_code& ec);
  bool on_key_part(string_view s, size_t, error_code&) { return append(s); }
  bool on_key(string_view s, size_t, error_code& ec);
  bool on_string_part(string_view s, size_t, error_code&) { return append(s); }
  bool on_string(string_view s, size_t, error_code& ec);
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t v, string_view, error_code& ec) {
    return v < 0 && !skips() ? complain(ec, "must not be negative") : number(static_cast<uint64_t>(v), ec);
  }
  bool on_uint64(uint64_t v, string_view, error_code& ec) { return number(v, ec); }
  bool on_double(double, string_view, error_code& ec) { return skips() || complain(ec, "must be an integer"); }
  bool on_bool(bool, error_code& ec) { return skips() || complain(ec, "must not be a boolean"); }
  bool on_null(error_code& ec) { return skips() || is_metadata_key() || complain(ec, "must not be null"); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

 private:
  enum class Where { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets };
  enum Field : unsigned { kDType = 1, kShapeField = 2, kOffsetsField = 4, kAllFields = 7 };

  // Within the value of an unknown field, or at its beginning.
  bool skips() const { return skipped_depth_ > 0 || (where_ == Where::kTensor && field_.empty()); }
  bool is_metadata_key() const { return where_ == Where::kRoot && name_ == "__metadata__"; }
  bool append(string_view s) { return text_.append(s.data(), s.size()), true; }
  std::string take(string_view s) {
    append(s);
    return std::exchange(text_, {});
  }
  bool complain(error_code& ec, std::string_view what);
  bool start_field(error_code& ec);
  bool number(uint64_t v, error_code& ec);
  bool finish_tensor(error_code& ec);

  const size_t tensors_max_;
  Where where_ = Where::kStart;
  std::string text_;       // parts of the key or string being read
  std::string name_;       // the root's key
  std::string field_;      // the tensor's key; empty: an unknown one
  int skipped_depth_ = 0;  // open objects and arrays of an unknown field
  bool metadata_seen_ = false;
  unsigned fields_seen_ = 0;
  StoredTensor tensor_;
  uint64_t bits_ = 0;
  int n_offsets_ = 0;
};

bool HeaderHandler::complain(error_code& ec, std::string_view what) {
  std::string place;
  if (where_ == Where::kMetadata) place = "__metadata__";
  if (where_ != Where::kStart && where_ != Where::kMetadata) {
    place = absl::StrCat("tensor ", shown_name(name_), field_.empty() ? "" : ": ", field_);
  }
  complaint = absl::StrCat(place.empty() ? "the header" : place, ": ", std::string(what));
  ec = boost::json::error::syntax;
  return false;
}

bool HeaderHandler::on_object_begin(error_code& ec) {
  if (skips()) return ++skipped_depth_, true;
  if (where_ == Where::kStart) return where_ = Where::kRoot, true;
  if (where_ != Where::kRoot) return complain(ec, "must not be an object");
  if (is_metadata_key()) {
    if (std::exchange(metadata_seen_, true)) return complain(ec, "occurs twice in the header");
    return where_ = Where::kMetadata, true;
  }
  if (tensors.size() >= tensors_max_) return complain(ec, absl::StrCat("more than ", tensors_max_, " tensors"));
  where_ = Where::kTensor;
  tensor_ = StoredTensor{};
  fields_seen_ = 0;
  n_offsets_ = 0;
  return true;
}

bool HeaderHandler::on_object_end(size_t, error_code& ec) {
  if (skipped_depth_ > 0) return --skipped_depth_, true;
  field_.clear();
  if (where_ == Where::kTensor && !finish_tensor(ec)) return false;
  where_ = Where::kRoot;
  return true;
}

bool HeaderHandler::on_array_begin(error_code& ec) {
  if (skips()) return ++skipped_depth_, true;
  if (where_ == Where::kTensor && field_ == "shape") return where_ = Where::kShape, true;
  if (where_ == Where::kTensor && field_ == "data_offsets") return where_ = Where::kOffsets, true;
  return complain(ec, "must not be an array");
}

bool HeaderHandler::on_array_end(size_t, error_code& ec) {
  if (skipped_depth_ > 0) return --skipped_depth_, true;
  if (where_ == Where::kOffsets && n_offsets_ != 2) return complain(ec, "must be two numbers");
  where_ = Where::kTensor;
  return true;
}

bool HeaderHandler::on_key(string_view s, size_t, error_code& ec) {
  std::string key = take(s);
  if (skipped_depth_ > 0) return true;
  if (where_ == Where::kRoot) return name_ = std::move(key), true;
  if (where_ == Where::kMetadata) return true;
  field_ = std::move(key);
  return start_field(ec);
}

bool HeaderHandler::start_field(error_code& ec) {
  const unsigned field = field_ == "dtype"          ? kDType
                         : field_ == "shape"        ? kShapeField
                         : field_ == "data_offsets" ? kOffsetsField
                                                    : 0u;
  if (field == 0) return field_.clear(), true;
  if ((fields_seen_ & field) != 0) return complain(ec, "occurs twice");
  fields_seen_ |= field;
  return true;
}

bool HeaderHandler::on_string(string_view s, size_t, error_code& ec) {
  const std::string value = take(s);
  if (where_ == Where::kMetadata || skips()) return true;
  if (where_ != Where::kTensor || field_ != "dtype") return complain(ec, "must not be a string");
  const auto* row =
      std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const auto& r) { return r.name == value; });
  const bool known = row != std::end(kDTypes);
  tensor_.stored_dtype = known ? value : shown_name(value);
  tensor_.dtype = known ? row->dtype : DType::kCount;
  bits_ = known ? row->bits : 0;
  return true;
}

bool HeaderHandler::number(uint64_t v, error_code& ec) {
  if (skips()) return true;
  if (where_ == Where::kShape) {
    if (tensor_.shape.rank() == tensor::Shape::kRankMax) {
      return complain(ec, absl::StrCat("more than ", tensor::Shape::kRankMax, " dimensions"));
    }
    if (v > INT64_MAX) return complain(ec, "a dimension is too large");
    return tensor_.shape.push_back(static_cast<int64_t>(v)), true;
  }
  if (where_ != Where::kOffsets) return complain(ec, "must not be a number");
  if (n_offsets_ == 2) return complain(ec, "must be two numbers");
  (n_offsets_++ == 0 ? tensor_.begin : tensor_.end) = v;
  return true;
}

bool HeaderHandler::finish_tensor(error_code& ec) {
  if ((fields_seen_ & kDType) == 0) return complain(ec, "dtype: missing");
  if ((fields_seen_ & kShapeField) == 0) return complain(ec, "shape: missing");
  if ((fields_seen_ & kOffsetsField) == 0) return complain(ec, "data_offsets: missing");
  if (tensor_.begin > tensor_.end) return complain(ec, "data_offsets: the end is before the beginning");
  const uint64_t stored = tensor_.end - tensor_.begin;
  const bool known = bits_ > 0;  // of another type, no more than the number of elements is checked
  std::optional<uint64_t> bytes = bytes_of(tensor_.shape, known ? bits_ : 8);
  if (bytes && !known) bytes = stored;
  if (!bytes) {
    return complain(ec, absl::StrCat("shape: ", tensor_.shape.text(), " of ", tensor_.stored_dtype,
                                     " does not have a size in whole bytes below 2^61"));
  }
  if (*bytes != stored) {
    return complain(ec, absl::StrCat("shape ", tensor_.shape.text(), " of ", tensor_.stored_dtype, " is ", *bytes,
                                     " bytes, data_offsets say ", stored));
  }
  tensor_.name = std::move(name_);
  tensors.push_back(std::move(tensor_));
  return true;
}

absl::Status invalid(std::string_view file, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(file), ": ", std::string(what)));
}

// The well-known other format that the file has, as part of a sentence. Empty: none.
std::string_view other_format(std::string_view head) {
  if (head.starts_with("PK\x03\x04")) return "a zip archive, as torch.save writes it";
  if (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return "a pickle";
  if (head.starts_with("version https://git-lfs")) return "a Git LFS pointer: run `git lfs pull`";
  if (head.starts_with("GGUF")) return "a GGUF file";
  return {};
}

// The JSON between the length and the data.
absl::StatusOr<std::string_view> header_text(std::string_view file, std::string_view name, size_t bytes_max) {
  uint64_t length = 0;
  if (file.size() >= kLengthBytes) std::memcpy(&length, file.data(), kLengthBytes);
  // Another format's first bytes can be a plausible length. The brace decides.
  const bool plausible = file.size() > kLengthBytes && length <= bytes_max && file[kLengthBytes] == '{';
  if (const std::string_view other = other_format(file.substr(0, 64)); !plausible && !other.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(std::string(name), ": not safetensors but ", std::string(other), "; it is not read"));
  }
  if (file.size() < kLengthBytes) {
    return absl::DataLossError(
        absl::StrCat(std::string(name), ": cut short: ", file.size(), " bytes, and the header's length alone is 8"));
  }
  if (length > bytes_max) {
    return invalid(name, absl::StrCat("a header of ", length, " bytes; at most ", bytes_max, " are read"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat(std::string(name), ": cut short within its header: ", length,
                                            " bytes are announced, ", file.size() - kLengthBytes, " are there"));
  }
  const std::string_view text = file.substr(kLengthBytes, length);
  if (!text.starts_with('{')) return invalid(name, "the header must begin with '{'");
  return text;
}

absl::StatusOr<std::vector<StoredTensor>> parse_header(std::string_view text, std::string_view name,
                                                       size_t tensors_max) {
  boost::json::parse_options options;
  options.max_depth = kDepthMax;
  boost::json::basic_parser<HeaderHandler> parser(options, tensors_max);
  error_code ec;
  const size_t consumed = parser.write_some(false, text.data(), text.size(), ec);
  HeaderHandler& handler = parser.handler();
  if (!handler.complaint.empty()) return invalid(name, handler.complaint);
  if (ec) return invalid(name, absl::StrCat("the header is not JSON at byte ", consumed, ": ", ec.message()));
  if (text.find_first_not_of(" \t\r\n", consumed) != text.npos) {
    return invalid(name, absl::StrCat("the header has text after its JSON at byte ", consumed));
  }
  return std::move(handler.tensors);
}

// In order of their bytes, each tensor begins where the last one ended. None ends outside the data.
absl::Status check_layout(std::span<const StoredTensor> tensors, uint64_t data_bytes, std::string_view file) {
  std::vector<const StoredTensor*> order;
  order.reserve(tensors.size());
  for (const StoredTensor& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::tie(a->begin, a->end, a->name) < std::tie(b->begin, b->end, b->name);
  });
  for (const StoredTensor* t : order) {
    if (t->end <= data_bytes) continue;
    return absl::DataLossError(absl::StrCat(std::string(file), ": cut short: tensor ", shown_name(t->name),
                                            " ends at byte ", t->end, " of the data, and there are ", data_bytes));
  }
  const StoredTensor* last = nullptr;
  for (const StoredTensor* t : order) {
    const uint64_t covered = last == nullptr ? 0 : last->end;
    if (t->begin < covered) {
      return invalid(file, absl::StrCat("tensors ", shown_name(last->name), " and ", shown_name(t->name), " overlap"));
    }
    if (t->begin > covered) {
      return invalid(
          file, absl::StrCat(t->begin - covered, " bytes before tensor ", shown_name(t->name), " belong to no tensor"));
    }
    last = t;
  }
  const uint64_t covered = last == nullptr ? 0 : last->end;
  if (covered < data_bytes) {
    const std::string name = last == nullptr ? "" : absl::StrCat(", ", shown_name(last->name), ",");
    return invalid(file, absl::StrCat(data_bytes - covered, " bytes after the last tensor", name, " belong to none"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string shown_name(std::string_view name) {
  constexpr size_t kShown = 200;
  const absl::string_view shown(name.data(), std::min(name.size(), kShown));
  return absl::StrCat("\"", absl::Utf8SafeCEscape(shown), name.size() > kShown ? "..." : "", "\"");
}

absl::StatusOr<std::vector<StoredTensor>> read_safetensors_header(std::span<const std::byte> file,
                                                                  std::string_view file_name,
                                                                  const CheckpointLimits& limits) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  ASSIGN_OR_RETURN(const std::string_view text, header_text(bytes, file_name, limits.header_bytes_max));
  ASSIGN_OR_RETURN(std::vector<StoredTensor> tensors, parse_header(text, file_name, limits.tensors_max));
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].name == tensors[i - 1].name) {
      return invalid(file_name, absl::StrCat("tensor ", shown_name(tensors[i].name), " occurs twice in the header"));
    }
  }
  const uint64_t data_begin = kLengthBytes + text.size();
  RETURN_IF_ERROR(check_layout(tensors, bytes.size() - data_begin, file_name));
  for (StoredTensor& t : tensors) {
    t.begin += data_begin;
    t.end += data_begin;
  }
  return tensors;
}

}  // namespace polymath::weights
