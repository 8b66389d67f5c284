#pragma once

// Limits of one request. Beyond one: 400 with the field and the limit, before anything is allocated.

#include <cstddef>

namespace polymath::api {

struct ApiLimits {
  size_t json_depth_max = 64;          // nesting of a request's JSON; deeper: 400
  int prompts_max = 1024;              // prompts in one request; more: 400 (--max-client-batch-size changes it)
  int n_max = 128;                     // choices of one prompt; more: 400
  int choices_max = 1024;              // prompts times n; more: 400
  int messages_max = 4096;             // messages of a chat; more: 400
  int tools_max = 1024;                // tools of a chat; more: 400
  int stop_max = 64;                   // stop strings; more: 400 (--max-stop-strings changes it)
  size_t stop_bytes_max = 1024;        // of one stop string; longer: 400
  int stop_ids_max = 1024;             // stop_token_ids; more: 400
  int logit_bias_max = 1024;           // entries of logit_bias; more: 400
  int logprobs_max = 20;               // logprobs, top_logprobs, prompt_logprobs; more: 400 (--max-logprobs; -1: all)
  int best_of_max = 20;                // TGI's best_of; more: 422 (--max-best-of)
  int top_tokens_max = 20;             // TGI's top_n_tokens; more: 422 (--max-top-n-tokens)
  size_t cache_salt_max = 1024;        // characters; longer: 400
  int bad_words_max = 128;             // bad_words; more: 400
  size_t answer_bytes_max = 64 << 20;  // of logprobs and copies of the prompt in an answer; more: 400
  size_t stream_burst_bytes_max = 7 << 20;  // the same in what a stream sends at once; more: 400
  double stream_silence_s_max = 15;   // a stream silent for longer sends a comment, so that proxies keep it; 0: never
  int stream_interval = 1;            // tokens of a stream's chunk, unless the request says (--stream-interval)
  bool clamp_max_tokens = false;      // max_tokens beyond the context: what fits, instead of 400
  size_t request_id_bytes_max = 128;  // a longer X-Request-Id or request_id is replaced by a random one
};

}  // namespace polymath::api
