// Fuzzes bodies of /v1/completions (first byte even) and /v1/chat/completions (odd), up to the engine's request.
// The tokenizer has one entry a byte.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/openai_request.h"
#include "api/status.h"

namespace {

using polymath::api::Endpoint;
using polymath::text::TokenId;

class ByteTokenizer : public polymath::text::Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const TokenId> ids, bool) const override { return std::string(ids.size(), 'x'); }
  std::string token_text(TokenId) const override { return "x"; }
  std::optional<TokenId> token_id(std::string_view) const override { return std::nullopt; }
  bool is_special(TokenId) const override { return false; }
  size_t vocab_size() const override { return 256; }
  std::optional<TokenId> bos_id() const override { return std::nullopt; }
  std::optional<TokenId> eos_id() const override { return 0; }
};

const polymath::api::ServedModel& model() {
  static const auto* const kept = [] {
    auto* m = new polymath::api::ServedModel;
    m->names = {"m"};
    m->model_len_max = 4096;
    m->vocab = 256;
    m->tokenizer = std::make_shared<ByteTokenizer>();
    complete_tokenizer_facts(*m);
    auto parsed = polymath::text::ChatTemplate::parse(
        "{% for m in messages %}{{ m.role }}{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls|tojson }}{% endif %}"
        "{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}>{% endif %}",
        {});
    if (!parsed.ok()) std::abort();
    m->chat_template = std::make_shared<const polymath::text::ChatTemplate>(*std::move(parsed));
    return m;
  }();
  return *kept;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Endpoint endpoint = data[0] % 2 == 0 ? Endpoint::kCompletions : Endpoint::kChat;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto json = polymath::base::parse_json(body, {.depth_max = 64, .bytes_max = 1 << 20});
  if (!json.ok()) return 0;
  auto request = polymath::api::parse_openai_request(*json, endpoint, model(), {});
  absl::Status status = request.status();
  if (request.ok()) status = resolve_prompts(*request, model());
  if (!status.ok()) {
    polymath::api::error_body(polymath::api::name_field(status));
    return 0;
  }
  // What goes to the engine is in bounds.
  const auto& plan = request->plan;
  if (plan.prompts.empty() || plan.prompts.size() != plan.max_tokens.size()) std::abort();
  for (size_t i = 0; i < plan.prompts.size(); ++i) {
    const auto total = static_cast<int64_t>(plan.prompts[i].size()) + plan.max_tokens[i];
    if (plan.prompts[i].empty() || (plan.max_tokens[i] < 1 && !plan.drop_output) || total > 4096) std::abort();
  }
  return 0;
}
