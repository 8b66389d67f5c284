#include "commands/load/workload.h"

#include <algorithm>
#include <iterator>

namespace polymath::commands::load {
namespace {

// Streams of the seed; arrivals have their own.
constexpr uint64_t kPrefixes = uint64_t{1} << 40, kConversations = uint64_t{2} << 40;
constexpr int kLowestId = 300;  // special tokens and single bytes mostly lie below it

constexpr const char* kWords[] = {
    "the",  "time", "people", "year", "way",  "day",  "thing", "world",  "life",  "hand",   "part",  "place", "case",
    "week", "work", "number", "fact", "home", "room", "area",  "money",  "story", "water",  "month", "right", "book",
    "eye",  "job",  "word",   "side", "kind", "head", "house", "friend", "power", "hour",   "game",  "line",  "end",
    "law",  "car",  "city",   "name", "team", "idea", "body",  "face",   "door",  "health", "art",   "war",   "party",
};

int32_t random_id(Draw& draw, int vocab) { return draw.between(std::min(kLowestId, vocab / 2), vocab - 1); }

std::string random_words(Draw& draw, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) {
    if (i > 0) out += ' ';
    out += kWords[draw.between(0, static_cast<int>(std::size(kWords)) - 1)];
  }
  return out;
}

}  // namespace

Conversation::Conversation(const WorkloadOptions& options, int index, const TraceRow* row)
    : options_(options), row_(row), draw_(options.seed, kConversations + static_cast<uint64_t>(index)) {
  if (options.prefix_len == 0) return;
  const int group = index % options.n_prefixes;
  Draw shared(options.seed, kPrefixes + static_cast<uint64_t>(group));
  add(shared, options.prefix_len, "system");
}

void Conversation::add(Draw& draw, int tokens, const char* role) {
  prompt_len_ += tokens;
  switch (options_.form) {
    case PromptForm::kIds:
      for (int i = 0; i < tokens; ++i) prompt_.ids.push_back(random_id(draw, options_.vocab));
      return;
    case PromptForm::kText:
      if (!prompt_.text.empty()) prompt_.text += ' ';
      prompt_.text += random_words(draw, tokens);
      return;
    case PromptForm::kMessages:
      prompt_.messages.push_back({role, random_words(draw, tokens)});
  }
}

void Conversation::ask() {
  const bool traced = row_ != nullptr && turn_ == 0;
  const int prompt_len = traced ? row_->prompt_len : options_.prompt_len.draw(draw_);
  output_len_ = traced ? row_->output_len : options_.output_len.draw(draw_);
  add(draw_, prompt_len, "user");
  ++turn_;
}

void Conversation::answer(const std::string& text, const std::vector<int32_t>& ids) {
  if (!has_next()) return;
  if (options_.form == PromptForm::kIds && ids.empty()) return add(draw_, output_len_, "assistant");
  prompt_len_ += ids.empty() ? output_len_ : static_cast<int>(ids.size());
  prompt_.ids.insert(prompt_.ids.end(), ids.begin(), options_.form == PromptForm::kIds ? ids.end() : ids.begin());
  if (options_.form == PromptForm::kText) prompt_.text += text;
  if (options_.form == PromptForm::kMessages) prompt_.messages.push_back({"assistant", text});
}

}  // namespace polymath::commands::load
