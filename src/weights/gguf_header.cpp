#include "weights/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are used as they are in the file");

constexpr size_t kKeyBytesMax = 65535;       // the specification's; longer: kInvalidArgument
constexpr size_t kNameBytesMax = 1024;       // of a tensor (ggml has 64); longer: kInvalidArgument
constexpr uint32_t kDimsMax = 4;             // the specification's; more: kInvalidArgument
constexpr size_t kPairsMax = 65536;          // metadata pairs; more: kInvalidArgument
constexpr size_t kArrayValuesMax = 8 << 20;  // of all arrays together; more: kInvalidArgument
constexpr uint64_t kAlignmentDefault = 32, kAlignmentMax = 1 << 20;  // larger: kInvalidArgument

enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64, kTypes };

class Parser {
 public:
  Parser(std::span<const std::byte> file, std::string_view name, const CheckpointLimits& limits)
      : file_(file), name_(name), limits_(limits) {}

  absl::StatusOr<GgufHeader> parse();

 private:
  absl::Status invalid(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", what));
  }
  absl::Status cut_short(const std::string& where) const {
    return absl::DataLossError(absl::StrCat(name_, ": the file ends within ", where));
  }
  size_t left() const { return std::min(file_.size(), limits_.header_bytes_max) - at_; }

  template <typename T>
  absl::StatusOr<T> number(const std::string& where) {
    RETURN_IF_ERROR(need(sizeof(T), where));
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  absl::Status need(uint64_t bytes, const std::string& where) const {
    if (bytes <= left()) return absl::OkStatus();
    if (bytes > file_.size() - at_) return cut_short(where);
    return invalid(absl::StrCat("the header is longer than ", limits_.header_bytes_max, " bytes"));
  }
  absl::StatusOr<std::string> text(const std::string& where, size_t bytes_max);

  absl::Status read_preamble();
  absl::Status read_metadata();
  absl::StatusOr<base::JsonValue> value(uint32_t type, const std::string& where);
  absl::StatusOr<base::JsonValue> array(const std::string& where);
  absl::Status read_tensors();
  absl::StatusOr<GgufTensor> tensor();
  absl::Status read_shape(GgufTensor& t, const std::string& where);
  absl::StatusOr<uint64_t> alignment() const;
  absl::Status place_tensors(uint64_t alignment);
  absl::Status check_overlap();

  std::span<const std::byte> file_;
  const std::string name_;
  const CheckpointLimits& limits_;
  size_t at_ = 0;
  uint64_t tensors_ = 0, pairs_ = 0;
  size_t array_values_ = 0;
  GgufHeader header_;
};

absl::StatusOr<std::string> Parser::text(const std::string& where, size_t bytes_max) {
  ASSIGN_OR_RETURN(const uint64_t bytes, number<uint64_t>(where));
  if (bytes > bytes_max) return invalid(absl::StrCat(where, ": ", bytes, " bytes; at most ", bytes_max));
  RETURN_IF_ERROR(need(bytes, where));
  std::string out(reinterpret_cast<const char*>(file_.data() + at_), bytes);
  at_ += bytes;
  return out;
}

absl::Status Parser::read_preamble() {
  if (file_.size() < 4 || std::memcmp(file_.data(), "GGUF", 4) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(name_, ": is no GGUF file"));
  }
  at_ = 4;
  ASSIGN_OR_RETURN(const uint32_t version, number<uint32_t>("its version"));
  if (version == 0x02000000 || version == 0x03000000) {
    return absl::UnimplementedError(absl::StrCat(name_, ": is big-endian; only little-endian GGUF is read"));
  }
  if (version != 2 && version != 3) {
    return absl::UnimplementedError(absl::StrCat(name_, ": is GGUF version ", version, "; 2 and 3 are read"));
  }
  ASSIGN_OR_RETURN(tensors_, number<uint64_t>("its counts"));
  ASSIGN_OR_RETURN(pairs_, number<uint64_t>("its counts"));
  if (tensors_ > limits_.tensors_max) return invalid(absl::StrCat("more than ", limits_.tensors_max, " tensors"));
  if (pairs_ > kPairsMax) return invalid(absl::StrCat("more than ", kPairsMax, " metadata pairs"));
  return absl::OkStatus();
}

absl::Status Parser::read_metadata() {
  for (uint64_t i = 0; i < pairs_; ++i) {
    ASSIGN_OR_RETURN(const std::string key, text("a metadata key", kKeyBytesMax));
    const std::string where = absl::StrCat("metadata ", shown_name(key));
    ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>(where));
    const size_t begin = at_;
    ASSIGN_OR_RETURN(base::JsonValue v, value(type, where));
    header_.pairs.push_back({key, type, begin, at_ - begin});
    if (!header_.metadata.emplace(key, std::move(v)).second) return invalid(where + " is there twice");
  }
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<base::JsonValue> as_json(absl::StatusOr<T> number) {
  RETURN_IF_ERROR(number.status());
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (*number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return base::JsonValue(*number);
    return base::JsonValue(static_cast<int64_t>(*number));
  } else if constexpr (std::is_floating_point_v<T>) {
    return base::JsonValue(static_cast<double>(*number));
  } else {
    return base::JsonValue(static_cast<int64_t>(*number));
  }
}

absl::StatusOr<base::JsonValue> Parser::value(uint32_t type, const std::string& where) {
  switch (type) {
    case kU8:
      return as_json(number<uint8_t>(where));
    case kI8:
      return as_json(number<int8_t>(where));
    case kU16:
      return as_json(number<uint16_t>(where));
    case kI16:
      return as_json(number<int16_t>(where));
    case kU32:
      return as_json(number<uint32_t>(where));
    case kI32:
      return as_json(number<int32_t>(where));
    case kF32:
      return as_json(number<float>(where));
    case kU64:
      return as_json(number<uint64_t>(where));
    case kI64:
      return as_json(number<int64_t>(where));
    case kF64:
      return as_json(number<double>(where));
    case kBool: {
      ASSIGN_OR_RETURN(const uint8_t byte, number<uint8_t>(where));
      if (byte > 1) return invalid(absl::StrCat(where, ": a boolean of ", static_cast<int>(byte)));
      return base::JsonValue(byte == 1);
    }
    case kString: {
      ASSIGN_OR_RETURN(const std::string s, text(where, limits_.header_bytes_max));
      return base::JsonValue(boost::json::string(s.data(), s.size()));
    }
    case kArray:
      return array(where);
    default:
      return invalid(absl::StrCat(where, ": type ", type, " is none of GGUF's"));
  }
}

absl::StatusOr<base::JsonValue> Parser::array(const std::string& where) {
  ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>(where));
  ASSIGN_OR_RETURN(const uint64_t n, number<uint64_t>(where));
  if (type == kArray) return absl::UnimplementedError(absl::StrCat(name_, ": ", where, ": is an array of arrays"));
  RETURN_IF_ERROR(need(n, where));  // a value has at least a byte
  if (n > kArrayValuesMax - array_values_)
    return invalid(absl::StrCat("arrays of more than ", kArrayValuesMax, " values"));
  array_values_ += n;
  base::JsonArray out;
  out.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    ASSIGN_OR_RETURN(base::JsonValue v, value(type, where));
    out.push_back(std::move(v));
  }
  return base::JsonValue(std::move(out));
}

absl::Status Parser::read_shape(GgufTensor& t, const std::string& where) {
  ASSIGN_OR_RETURN(const uint32_t n_dims, number<uint32_t>(where));
  if (n_dims < 1 || n_dims > kDimsMax) {
    return invalid(absl::StrCat(where, ": ", n_dims, " dimensions; 1 to ", kDimsMax, " are possible"));
  }
  int64_t dims[kDimsMax];
  int64_t values = 1;
  for (uint32_t i = 0; i < n_dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t dim, number<uint64_t>(where));
    if (dim < 1 || dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(values, static_cast<int64_t>(dim), &values)) {
      return invalid(absl::StrCat(where, ": no dimension: ", dim));
    }
    dims[i] = static_cast<int64_t>(dim);
  }
  for (uint32_t i = n_dims; i > 0; --i) t.shape.push_back(dims[i - 1]);
  return absl::OkStatus();
}

absl::StatusOr<GgufTensor> Parser::tensor() {
  GgufTensor t;
  ASSIGN_OR_RETURN(t.name, text("a tensor's name", kNameBytesMax));
  const std::string where = absl::StrCat("tensor ", shown_name(t.name));
  RETURN_IF_ERROR(read_shape(t, where));
  ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>(where));
  ASSIGN_OR_RETURN(t.begin, number<uint64_t>(where));
  t.type = find_ggml_type(type);
  if (t.type == nullptr) {
    return absl::UnimplementedError(absl::StrCat(name_, ": ", where, ": ggml type ", type, " is not known"));
  }
  const int64_t row = t.shape[t.shape.rank() - 1];
  if (row % t.type->block_values != 0) {
    return invalid(
        absl::StrCat(where, ": rows of ", row, " values are no whole blocks of ", std::string(t.type->name)));
  }
  const auto blocks = static_cast<uint64_t>(t.shape.elements() / t.type->block_values);
  if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(t.type->block_bytes), &t.bytes)) {
    return invalid(absl::StrCat(where, ": no shape: ", t.shape.text()));
  }
  return t;
}

absl::Status Parser::read_tensors() {
  for (uint64_t i = 0; i < tensors_; ++i) {
    ASSIGN_OR_RETURN(GgufTensor t, tensor());
    header_.tensors.push_back(std::move(t));
  }
  auto& all = header_.tensors;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != all.end()) return invalid(absl::StrCat("tensor ", shown_name(twice->name), " is there twice"));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Parser::alignment() const {
  const base::JsonValue* value = header_.metadata.if_contains("general.alignment");
  if (value == nullptr) return kAlignmentDefault;
  const int64_t n = value->is_int64() ? value->get_int64() : 0;
  if (n < 8 || n > static_cast<int64_t>(kAlignmentMax) || !std::has_single_bit(static_cast<uint64_t>(n))) {
    return invalid(absl::StrCat("general.alignment: must be a power of 2 in [8, ", kAlignmentMax, "]"));
  }
  return static_cast<uint64_t>(n);
}

// Offsets into the data become offsets into the file.
absl::Status Parser::place_tensors(uint64_t alignment) {
  const uint64_t data_begin = (at_ + alignment - 1) / alignment * alignment;
  for (GgufTensor& t : header_.tensors) {
    const std::string where = absl::StrCat("tensor ", shown_name(t.name));
    if (t.begin % alignment != 0) {
      return invalid(absl::StrCat(where, ": offset ", t.begin, " is no multiple of ", alignment));
    }
    const uint64_t data_bytes = file_.size() - std::min<uint64_t>(data_begin, file_.size());
    if (t.begin > data_bytes || t.bytes > data_bytes - t.begin) return cut_short(where);
    t.begin += data_begin;
  }
  return check_overlap();
}

absl::Status Parser::check_overlap() {
  std::vector<const GgufTensor*> by_place;
  for (const GgufTensor& t : header_.tensors) by_place.push_back(&t);
  std::sort(by_place.begin(), by_place.end(), [](const auto* a, const auto* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const GgufTensor &before = *by_place[i - 1], &t = *by_place[i];
    if (t.begin - before.begin >= before.bytes) continue;
    return invalid(absl::StrCat("tensors ", shown_name(before.name), " and ", shown_name(t.name), " overlap"));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufHeader> Parser::parse() {
  RETURN_IF_ERROR(read_preamble());
  RETURN_IF_ERROR(read_metadata());
  RETURN_IF_ERROR(read_tensors());
  ASSIGN_OR_RETURN(header_.alignment, alignment());
  RETURN_IF_ERROR(place_tensors(header_.alignment));
  return std::move(header_);
}

}  // namespace

int64_t GgufHeader::parts() const {
  const base::JsonValue* count = metadata.if_contains("split.count");
  return count != nullptr && count->is_int64() && count->get_int64() > 1 ? count->get_int64() : 1;
}

absl::StatusOr<GgufHeader> read_gguf_header(std::span<const std::byte> file, std::string_view file_name,
                                            const CheckpointLimits& limits) {
  return Parser(file, file_name, limits).parse();
}

}  // namespace polymath::weights
