#include "text/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "text/tokenizer/json_node.h"

namespace polymath::text {
namespace {

constexpr const char* kFile = "tokenizer_config.json";

constexpr std::string_view kNamedTokens[] = {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// transformers' classes that write the post-processor anew from the two flags.
constexpr std::string_view kFlagClasses[] = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                             "CohereTokenizer"};

bool flags_rule(std::string_view tokenizer_class) {
  if (tokenizer_class.ends_with("Fast")) tokenizer_class.remove_suffix(4);
  return std::find(std::begin(kFlagClasses), std::end(kFlagClasses), tokenizer_class) != std::end(kFlagClasses);
}

// "text", {"content": "text", "lstrip": true}, or nothing. A named token is special, whatever its flags say.
std::optional<AddedToken> special_token(const base::JsonValue& node) {
  if (node.is_string()) return AddedToken{.content = std::string(to_view(node.get_string())), .special = true};
  if (!node.is_object()) return std::nullopt;
  base::JsonReader flags(node);
  AddedToken token = read_added_token(flags);
  token.special = true;
  token.normalized = flags.b("normalized", false);
  if (!flags.status().ok()) return std::nullopt;
  return token;
}

std::optional<AddedToken> named_token(base::JsonReader& reader, std::string_view key) {
  if (!reader.has(key)) return std::nullopt;
  auto token = special_token(*reader.find(key));
  if (!token) reader.complain(key, "must be a string or an object with \"content\" and flags");
  return token;
}

std::optional<std::string> content_of(const std::optional<AddedToken>& token) {
  if (!token) return std::nullopt;
  return token->content;
}

void read_extra_tokens(base::JsonReader& reader, std::string_view key, std::vector<AddedToken>& out) {
  const base::JsonValue* list = reader.find(key);
  if (list == nullptr) return;
  const auto take = [&](const base::JsonValue& entry) {
    if (auto token = special_token(entry)) {
      out.push_back(*std::move(token));
    } else {
      reader.complain(key, "must hold strings or objects with \"content\" and flags");
    }
  };
  if (list->is_array()) {
    for (const auto& entry : list->get_array()) take(entry);
  } else if (list->is_object()) {
    for (const auto& entry : list->get_object()) take(entry.value());
  } else {
    reader.complain(key, "must be an array or an object");
  }
}

absl::Status read_added(base::JsonReader& reader, std::vector<AddedToken>& out) {
  const base::JsonReader members = reader.object("added_tokens_decoder");
  RETURN_IF_ERROR(reader.status());
  for (const auto& member : members.value().get_object()) {
    const std::string key(member.key().data(), member.key().size());
    base::JsonReader entry(member.value(), absl::StrCat(kFile, ".added_tokens_decoder.", key));
    AddedToken token = read_added_token(entry);
    if (!absl::SimpleAtoi(key, &token.id)) entry.complain("id", "must be a number");
    RETURN_IF_ERROR(entry.status());
    out.push_back(std::move(token));
  }
  return absl::OkStatus();
}

// {"<think>": 153}. A token that the config names is special. Source: transformers' from_pretrained(), legacy part.
absl::Status read_added_legacy(base::JsonReader& reader, TokenizerConfig& config) {
  const base::JsonReader members = reader.object("added_tokens_encoder");
  RETURN_IF_ERROR(reader.status());
  for (const auto& member : members.value().get_object()) {
    AddedToken token{.content = std::string(member.key().data(), member.key().size())};
    const int64_t id = member.value().is_int64() ? member.value().get_int64() : -1;
    if (id < 0 || id > std::numeric_limits<TokenId>::max()) {
      return absl::InvalidArgumentError(absl::StrCat("added_tokens.json: \"", token.content, "\": must be a token id"));
    }
    token.id = static_cast<TokenId>(id);
    token.special = std::any_of(config.special.begin(), config.special.end(),
                                [&](const AddedToken& named) { return named.content == token.content; });
    token.normalized = !token.special;
    config.added_legacy.push_back(std::move(token));
  }
  std::sort(config.added_legacy.begin(), config.added_legacy.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return absl::OkStatus();
}

// {"auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", null]}}; empty: another shape.
std::string auto_class(const base::JsonValue& config) {
  const base::JsonValue* map = config.get_object().if_contains("auto_map");
  const base::JsonValue* entry =
      map != nullptr && map->is_object() ? map->get_object().if_contains("AutoTokenizer") : nullptr;
  if (entry != nullptr && entry->is_array() && !entry->get_array().empty()) entry = &entry->get_array()[0];
  if (entry == nullptr || !entry->is_string()) return {};
  const std::string_view path = to_view(entry->get_string());
  return std::string(path.substr(path.rfind('.') + 1));  // npos + 1 is 0
}

std::optional<bool> read_flag(base::JsonReader& reader, std::string_view key) {
  if (!reader.has(key)) return std::nullopt;
  return reader.b(key);
}

absl::Status set_side(const std::optional<bool>& wanted, const std::optional<std::string>& name,
                      const Vocabulary& vocabulary, std::vector<TokenId>& side) {
  if (!wanted) return absl::OkStatus();
  side.clear();
  if (!*wanted) return absl::OkStatus();
  const auto id = name ? vocabulary.find(*name) : std::nullopt;
  if (!id) {
    return absl::InvalidArgumentError(absl::StrCat(kFile, ": add_bos_token or add_eos_token is set, but \"",
                                                   name.value_or(""), "\" is no token of the vocabulary"));
  }
  side.push_back(*id);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerConfig> parse_tokenizer_config(std::string_view json, const TokenizerLimits& limits) {
  TokenizerConfig config;
  if (json.empty()) return config;
  auto parsed = base::parse_json(json, {.bytes_max = limits.file_bytes_max});
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(kFile, ": ", parsed.status().message()));
  base::JsonReader reader(*parsed, kFile);
  RETURN_IF_ERROR(reader.status());
  const auto bos = named_token(reader, "bos_token"), eos = named_token(reader, "eos_token");
  config.bos = content_of(bos);
  config.eos = content_of(eos);
  if (bos) config.special.push_back(*bos);
  if (eos) config.special.push_back(*eos);
  for (const std::string_view key : kNamedTokens) {
    if (auto token = named_token(reader, key)) config.special.push_back(*std::move(token));
  }
  read_extra_tokens(reader, "additional_special_tokens", config.special);
  read_extra_tokens(reader, "extra_special_tokens", config.special);
  config.add_bos = read_flag(reader, "add_bos_token");
  config.add_eos = read_flag(reader, "add_eos_token");
  config.tokenizer_class = reader.s("tokenizer_class", "");
  if (config.tokenizer_class.empty()) config.tokenizer_class = auto_class(*parsed);
  config.flags_rule = flags_rule(config.tokenizer_class);
  config.legacy = reader.b("legacy", true);
  RETURN_IF_ERROR(read_added(reader, config.added));
  RETURN_IF_ERROR(read_added_legacy(reader, config));
  RETURN_IF_ERROR(reader.status());
  return config;
}

absl::Status in_tokenizer_file(std::string_view file, const absl::Status& status) {
  for (const std::string_view own : {std::string_view(kFile), std::string_view("added_tokens.json")}) {
    if (absl::StartsWith(status.message(), absl::string_view(own.data(), own.size()))) return status;
  }
  return absl::Status(status.code(), absl::StrCat(std::string(file), ": ", status.message()));
}

absl::Status join_added_tokens(const TokenizerConfig& config, std::vector<AddedToken>& tokens, Vocabulary& vocabulary) {
  absl::flat_hash_map<std::string, size_t> places;
  const auto join = [&](const AddedToken& token) -> absl::Status {
    const auto [place, is_new] = places.try_emplace(token.content, tokens.size());
    RETURN_IF_ERROR(vocabulary.add(token.content, token.id));
    if (is_new) {
      tokens.push_back(token);
    } else {
      const bool special = tokens[place->second].special || token.special;  // no file takes the mark back
      tokens[place->second] = token;
      tokens[place->second].special = special;
    }
    return absl::OkStatus();
  };
  std::vector<AddedToken> own = std::move(tokens);
  tokens.clear();
  for (const auto& token : own) RETURN_IF_ERROR(join(token));
  for (const auto& token : config.added) {
    const auto status = join(token);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(kFile, ": ", status.message()));
  }
  for (const auto& token : config.added_legacy) {
    AddedToken known = token;
    known.id = vocabulary.find(token.content).value_or(token.id);
    if (token.content.empty() || places.contains(token.content)) continue;
    const auto status = join(known);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("added_tokens.json: ", status.message()));
  }
  for (const AddedToken& named : config.special) {
    const auto id = vocabulary.find(named.content);
    if (!id || named.content.empty()) continue;
    const auto known = places.find(named.content);
    if (known != places.end()) {
      tokens[known->second].special = true;  // its own flags stay
      continue;
    }
    AddedToken token = named;
    token.id = *id;
    RETURN_IF_ERROR(join(token));
  }
  for (const auto& token : tokens) {
    if (token.special) vocabulary.set_special(token.id);
  }
  return absl::OkStatus();
}

absl::Status override_special_around(const TokenizerConfig& config, const Vocabulary& vocabulary,
                                     SpecialAround& around) {
  RETURN_IF_ERROR(set_side(config.add_bos, config.bos, vocabulary, around.before));
  return set_side(config.add_eos, config.eos, vocabulary, around.after);
}

}  // namespace polymath::text
