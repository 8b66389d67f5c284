#include "text/tokenizer/post_processor.h"

#include "absl/strings/str_cat.h"
#include "text/tokenizer/json_node.h"

namespace polymath::text {
namespace {

absl::Status check_id(int64_t id, const Vocabulary& vocabulary, std::string_view path) {
  if (id >= 0 && static_cast<uint64_t>(id) < vocabulary.size() && vocabulary.has(static_cast<TokenId>(id))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(std::string(path), ": id ", id, " is not in the vocabulary"));
}

// The ids that the template calls `name`.
absl::StatusOr<std::vector<TokenId>> ids_of(base::JsonReader& special_tokens, const std::string& name,
                                            const Vocabulary& vocabulary, std::string_view path) {
  if (!special_tokens.has(name)) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(path), ".special_tokens: \"", name, "\" is missing"));
  }
  base::JsonReader entry = special_tokens.object(name);
  std::vector<TokenId> ids;
  for (const int id : entry.ints("ids")) {
    RETURN_IF_ERROR(check_id(id, vocabulary, path));
    ids.push_back(id);
  }
  RETURN_IF_ERROR(entry.status());
  return ids;
}

absl::StatusOr<SpecialAround> read_template(const base::JsonValue& node, const Vocabulary& vocabulary,
                                            std::string_view path) {
  base::JsonReader reader(node, std::string(path));
  base::JsonReader special_tokens = reader.object("special_tokens");
  RETURN_IF_ERROR(reader.status());
  const std::string single = absl::StrCat(std::string(path), ".single");
  ASSIGN_OR_RETURN(const auto parts, sequence_of(node, "single", path));
  SpecialAround around;
  bool text_seen = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    base::JsonReader part(*parts[i], absl::StrCat(single, "[", i, "]"));
    RETURN_IF_ERROR(part.status());
    if (part.has("Sequence")) {
      if (text_seen) return absl::InvalidArgumentError(absl::StrCat(single, ": the text occurs twice"));
      text_seen = true;
      continue;
    }
    base::JsonReader special = part.object("SpecialToken");
    const std::string name = special.s("id");
    RETURN_IF_ERROR(special.status());
    ASSIGN_OR_RETURN(const auto ids, ids_of(special_tokens, name, vocabulary, path));
    auto& side = text_seen ? around.after : around.before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!text_seen) return absl::InvalidArgumentError(absl::StrCat(single, ": the text is missing"));
  return around;
}

// {"cls": ["<s>", 0], "sep": ["</s>", 2]}
absl::StatusOr<TokenId> read_named_id(base::JsonReader& reader, std::string_view key, const Vocabulary& vocabulary,
                                      std::string_view path) {
  const base::JsonValue* pair = reader.find(key);
  const bool good =
      pair != nullptr && pair->is_array() && pair->get_array().size() == 2 && pair->get_array()[1].is_int64();
  if (!good) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(path), ".", std::string(key), ": must be [token, id]"));
  }
  const int64_t id = pair->get_array()[1].get_int64();
  RETURN_IF_ERROR(check_id(id, vocabulary, path));
  return static_cast<TokenId>(id);
}

absl::StatusOr<SpecialAround> read_sequence(const base::JsonValue& node, const Vocabulary& vocabulary,
                                            std::string_view path) {
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(node, "processors", path));
  SpecialAround around;
  for (size_t i = 0; i < nodes.size(); ++i) {
    ASSIGN_OR_RETURN(const SpecialAround outer,
                     read_post_processor(nodes[i], vocabulary, absl::StrCat(std::string(path), "[", i, "]")));
    around.before.insert(around.before.begin(), outer.before.begin(), outer.before.end());
    around.after.insert(around.after.end(), outer.after.begin(), outer.after.end());
    if (outer.trims) around.prefix_space = outer.prefix_space;
    around.trims |= outer.trims;
  }
  return around;
}

}  // namespace

absl::StatusOr<SpecialAround> read_post_processor(const base::JsonValue* node, const Vocabulary& vocabulary,
                                                  std::string_view path) {
  if (node == nullptr || node->is_null()) return SpecialAround{};
  base::JsonReader reader(*node, std::string(path));
  const std::string type = reader.s("type");
  RETURN_IF_ERROR(reader.status());
  SpecialAround around;
  if (type == "ByteLevel" || type == "RobertaProcessing") {
    around.trims = reader.b("trim_offsets", true);
    around.prefix_space = reader.b("add_prefix_space", true);
    RETURN_IF_ERROR(reader.status());
  }
  if (type == "ByteLevel") return around;
  if (type == "TemplateProcessing") return read_template(*node, vocabulary, path);
  if (type == "Sequence") return read_sequence(*node, vocabulary, path);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    ASSIGN_OR_RETURN(const TokenId before, read_named_id(reader, "cls", vocabulary, path));
    ASSIGN_OR_RETURN(const TokenId after, read_named_id(reader, "sep", vocabulary, path));
    around.before = {before};
    around.after = {after};
    return around;
  }
  return unknown_type(path, type);
}

}  // namespace polymath::text
