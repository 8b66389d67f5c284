#pragma once

// A client's request in token ids, and the sink for its output.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace polymath::engine {

// Ends an answer whose last tokens repeat: one pattern, at least n_repeats times in a row.
struct RepetitionRule {
  int pattern_min = 1, pattern_max = 0;  // tokens of a pattern; pattern_max 0: off
  int n_repeats = 0;                     // at least 2, unless off
};

// How to sample tokens. check_sampling (engine/sampling/params.h) checks every field before its use.
struct SamplingParams {
  float temperature = 1;                              // 0: greedy
  int top_k = 0;                                      // 0 or -1: off
  float top_p = 1;                                    // in (0, 1]
  float min_p = 0;                                    // in [0, 1]
  float typical_p = 1;                                // in (0, 1]
  float presence_penalty = 0;                         // in [-2, 2]; over generated tokens
  float frequency_penalty = 0;                        // in [-2, 2]; over generated tokens
  float repetition_penalty = 1;                       // > 0; over prompt and generated tokens
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to the logits; [-100, 100]
  std::vector<int32_t> allowed_ids;                   // empty: all
  std::vector<std::vector<int32_t>> bad_ids;          // the output never ends with one of these; none is empty
  uint64_t seed = 0;                                  // with the position, the only source of randomness
  std::vector<int32_t> stop_ids;  // generation ends after one of these; counted as output, its text dropped by api/
  std::vector<int32_t> eos_ids;   // the model's own; not read under ignore_eos
  bool ignore_eos = false;
  int min_tokens = 0;  // stop and eos ids are not sampled before these
  int max_tokens = 16;
  int logprobs = -1;                 // -1: none; 0: of the sampled token; n: and of the n best
  int prompt_logprobs = -1;          // the same for the prompt's tokens
  std::vector<int32_t> logprob_ids;  // beside a generated token: these ids instead of the best; empty: the best
  RepetitionRule repetition;
};

// The ids allowed next: the engine's view of a grammar. Called on the engine thread.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  // Clears bit i of `allowed` where id i is forbidden. `allowed`: [vocab / 64 rounded up] words, all ones at first.
  virtual void fill(std::span<uint64_t> allowed) = 0;
  virtual void accept(int32_t id) = 0;  // `id` was sampled
};

enum class FinishReason { kStop, kLength, kCancelled, kError, kRepetition, kCount };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "abort", "error", "repetition": vLLM's words

// A request's milestones in steady seconds; 0: not yet.
struct RequestTimes {
  double arrived = 0;
  double started = 0;  // first planned
  double first_token = 0;
  double last_token = 0;
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // natural logarithm, of the raw logits' softmax
  int rank = 0;       // 1: the most likely
};

struct TokenOutput {
  int32_t id = 0;
  TokenLogprob sampled;               // set if logprobs were asked for
  std::span<const TokenLogprob> top;  // the best or the wanted ones, by falling logprob; valid during the call
};

struct PromptLogprobs {  // of prompt token `position` (>= 1), given those before it
  int position = 0;
  TokenLogprob token;
  std::span<const TokenLogprob> top;
};

struct Finish {
  FinishReason reason = FinishReason::kStop;
  std::optional<int32_t> stop_id;  // kStop: the stop or eos id, if one ended it
  std::string error;               // kError: a sentence
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt: found in the prefix cache
  int output_tokens = 0;
  RequestTimes times;
};

// Receives a request's output: tokens in order, then exactly one on_finish. Called on the engine thread; must not
// block.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void on_token(const TokenOutput& token) = 0;
  virtual void on_prompt_logprobs(const PromptLogprobs&) {}
  virtual void on_finish(const Finish& finish) = 0;
};

struct Request {
  std::vector<int32_t> prompt;  // at least one id, each below the vocabulary's size
  SamplingParams sampling;
  std::shared_ptr<TokenMask> mask;  // null: every id is allowed
  std::string cache_salt;           // prompts share cached prefixes only under the same salt
  int64_t priority = 0;             // lower goes first (under --scheduling-policy priority)
  int adapter = -1;                 // index of the LoRA adapter; -1: the base model
  uint64_t group = 0;               // choices of one client's request have one number of their own; 0: alone
  std::shared_ptr<TokenSink> sink;
};

}  // namespace polymath::engine
