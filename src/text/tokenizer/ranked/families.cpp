#include "text/tokenizer/ranked/families.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "text/tokenizer/split_patterns.h"

namespace polymath::text {
namespace {

// o200k's with Han characters in words of their own.
constexpr std::string_view kKimiPattern =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr TiktokenFamily kFamilies[] = {
    // Kimi-K2, K2.5, K3, Kimi-Linear, Kimi-VL, Moonlight.
    {.name = "TikTokenTokenizer",
     .file = "tiktoken.model",
     .pattern = kKimiPattern,
     .bos = "[BOS]",
     .eos = "[EOS]",
     .reserved = 256,
     .cuts_long_texts = true},
    // Hunyuan-A13B, Hunyuan-Large.
    {.name = "HYTokenizer",
     .file = "hy.tiktoken",
     .pattern = kQwenPattern,
     .specials = {"<|endoftext|>", "<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>"},
     .extras = 205,
     .named_are_special = true,
     .nfc = true,
     .id_is_line = true},
    // Qwen-7B and its kin.
    {.name = "QWenTokenizer",
     .file = "qwen.tiktoken",
     .pattern = kQwenPattern,
     .specials = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
     .extras = 205,
     .named_are_special = true,
     .nfc = true},
    {.file = "o200k_base.tiktoken", .pattern = kO200kPattern},
    {.file = "cl100k_base.tiktoken", .pattern = kCl100kPattern},
    // Llama 3, and transformers' reading of any such file.
    {.file = "tokenizer.model", .pattern = kCl100kPattern},
};

// Classes of transformers that say nothing about the pattern.
constexpr std::string_view kGenericClasses[] = {"", "PreTrainedTokenizer", "TokenizersBackend", "LlamaTokenizer"};

bool is_generic(std::string_view name) {
  return std::find(std::begin(kGenericClasses), std::end(kGenericClasses), name) != std::end(kGenericClasses);
}

std::string known_classes() {
  std::string names;
  for (const TiktokenFamily& family : kFamilies) {
    if (!family.name.empty()) absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(family.name));
  }
  return names;
}

}  // namespace

absl::StatusOr<const TiktokenFamily*> find_tiktoken_family(std::string_view tokenizer_class, std::string_view file) {
  if (tokenizer_class.ends_with("Fast")) tokenizer_class.remove_suffix(4);
  const bool by_file = is_generic(tokenizer_class);
  for (const TiktokenFamily& family : kFamilies) {
    if (by_file ? family.file == file : family.name == tokenizer_class) return &family;
  }
  return absl::InvalidArgumentError(absl::StrCat("the pattern that cuts words is not known for tokenizer_class \"",
                                                 std::string(tokenizer_class),
                                                 "\" and this file name; the known classes are ", known_classes()));
}

}  // namespace polymath::text
