#include "text/tokenizer/sentencepiece/proto.h"

#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace polymath::text {
namespace {

absl::Status bad(std::string_view what) { return absl::InvalidArgumentError(std::string(what)); }

struct Field {
  uint64_t number = 0;
  int wire = 0;            // 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes
  uint64_t value = 0;      // of 0, 1 and 5
  std::string_view bytes;  // of 2
};

// The fields of one message, in order.
class Fields {
 public:
  Fields(std::string_view message, const char* name) : rest_(message), size_(message.size()), name_(name) {}
  bool done() const { return rest_.empty(); }

  absl::StatusOr<Field> next() {
    Field field;
    uint64_t tag = 0;
    RETURN_IF_ERROR(varint(tag));
    field.number = tag >> 3;
    field.wire = static_cast<int>(tag & 7);
    if (field.number == 0) return error("field number 0");
    switch (field.wire) {
      case 0:
        RETURN_IF_ERROR(varint(field.value));
        break;
      case 1:
        RETURN_IF_ERROR(fixed(8, field.value));
        break;
      case 2: {
        uint64_t size = 0;
        RETURN_IF_ERROR(varint(size));
        if (size > rest_.size()) return error("is cut off");
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        break;
      }
      case 5:
        RETURN_IF_ERROR(fixed(4, field.value));
        break;
      default:
        return error(absl::StrCat("wire type ", field.wire, " is not supported"));
    }
    return field;
  }

  absl::Status error(std::string_view what) const {
    return bad(absl::StrCat(name_, " at byte ", size_ - rest_.size(), ": ", std::string(what)));
  }
  absl::Status want(const Field& field, int wire) const {
    return field.wire == wire ? absl::OkStatus() : error(absl::StrCat("field ", field.number, " has the wrong type"));
  }

 private:
  absl::Status varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return error("is cut off");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return absl::OkStatus();
    }
    return error("a number of more than ten bytes");
  }
  absl::Status fixed(size_t bytes, uint64_t& value) {
    if (rest_.size() < bytes) return error("is cut off");
    for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    rest_.remove_prefix(bytes);
    return absl::OkStatus();
  }

  std::string_view rest_;
  size_t size_;
  const char* name_;
};

absl::StatusOr<SentencePieceEntry> parse_piece(std::string_view message) {
  SentencePieceEntry entry;
  Fields fields(message, "piece");
  while (!fields.done()) {
    ASSIGN_OR_RETURN(const Field f, fields.next());
    if (f.number == 1) {
      RETURN_IF_ERROR(fields.want(f, 2));
      entry.text = std::string(f.bytes);
    } else if (f.number == 2) {
      RETURN_IF_ERROR(fields.want(f, 5));
      entry.score = std::bit_cast<float>(static_cast<uint32_t>(f.value));
      if (!std::isfinite(entry.score)) return fields.error("the score is not finite");
    } else if (f.number == 3) {
      RETURN_IF_ERROR(fields.want(f, 0));
      if (f.value < 1 || f.value > 6) return fields.error(absl::StrCat("type ", f.value, " is not known"));
      entry.type = static_cast<PieceType>(f.value);
    }
  }
  if (entry.text.empty()) return fields.error("without text");
  return entry;
}

absl::Status parse_trainer(std::string_view message, SentencePieceProto& proto) {
  Fields fields(message, "trainer_spec");
  while (!fields.done()) {
    ASSIGN_OR_RETURN(const Field f, fields.next());
    switch (f.number) {
      case 3:
        RETURN_IF_ERROR(fields.want(f, 0));
        if (f.value < 1 || f.value > 4) return fields.error(absl::StrCat("model_type ", f.value, " is not known"));
        proto.kind = static_cast<SentencePieceKind>(f.value);
        break;
      case 24:
        RETURN_IF_ERROR(fields.want(f, 0));
        proto.blank_as_suffix = f.value != 0;
        break;
      case 35:
        RETURN_IF_ERROR(fields.want(f, 0));
        proto.byte_fallback = f.value != 0;
        break;
      case 41:
        RETURN_IF_ERROR(fields.want(f, 0));
        proto.bos_id = static_cast<int32_t>(f.value);
        break;
      case 42:
        RETURN_IF_ERROR(fields.want(f, 0));
        proto.eos_id = static_cast<int32_t>(f.value);
        break;
      case 44:
        RETURN_IF_ERROR(fields.want(f, 2));
        proto.unknown_surface = std::string(f.bytes);
        break;
      default:
        break;
    }
  }
  return absl::OkStatus();
}

absl::Status parse_normalizer(std::string_view message, SentencePieceProto& proto) {
  Fields fields(message, "normalizer_spec");
  while (!fields.done()) {
    ASSIGN_OR_RETURN(const Field f, fields.next());
    if (f.number == 2) {
      RETURN_IF_ERROR(fields.want(f, 2));
      proto.charsmap = std::string(f.bytes);
    } else if (f.number >= 3 && f.number <= 5) {
      RETURN_IF_ERROR(fields.want(f, 0));
      bool& flag = f.number == 3   ? proto.add_dummy_prefix
                   : f.number == 4 ? proto.remove_extra_blanks
                                   : proto.escape_blanks;
      flag = f.value != 0;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentencePieceProto> parse_sentencepiece_proto(std::string_view bytes, const TokenizerLimits& limits) {
  if (bytes.size() > limits.file_bytes_max) {
    return bad(absl::StrCat("a file of ", bytes.size(), " bytes; at most ", limits.file_bytes_max));
  }
  SentencePieceProto proto;
  Fields fields(bytes, "the model");
  while (!fields.done()) {
    ASSIGN_OR_RETURN(const Field f, fields.next());
    if (f.number < 1 || f.number > 3) continue;
    RETURN_IF_ERROR(fields.want(f, 2));
    if (f.number == 2) RETURN_IF_ERROR(parse_trainer(f.bytes, proto));
    if (f.number == 3) RETURN_IF_ERROR(parse_normalizer(f.bytes, proto));
    if (f.number != 1) continue;
    if (proto.pieces.size() >= limits.vocab_max) return bad(absl::StrCat("more than ", limits.vocab_max, " pieces"));
    auto piece = parse_piece(f.bytes);
    if (!piece.ok()) return bad(absl::StrCat("piece ", proto.pieces.size(), ": ", piece.status().message()));
    proto.pieces.push_back(*std::move(piece));
  }
  if (proto.pieces.empty()) return bad("it has no pieces");
  return proto;
}

}  // namespace polymath::text
