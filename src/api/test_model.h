#pragma once

// The stand-in model's tokenizer and template as a ServedModel, for this room's tests.

#include <string>

#include "api/served_model.h"
#include "base/check.h"

namespace polymath::api {

inline ServedModel stand_in_model() {
  const std::string directory = POLYMATH_STAND_IN;
  ServedModel model;
  model.names = {"stand-in", "alias"};
  model.root = "stand-in";
  model.model_len_max = 100;
  model.vocab = 512;
  model.eos_ids = {2, 0};
  auto tokenizer = text::load_tokenizer(directory, {});
  CHECK(tokenizer.ok());
  model.tokenizer = *std::move(tokenizer);
  complete_tokenizer_facts(model);
  auto templates = text::find_chat_templates(directory);
  CHECK(templates.ok());
  auto made = make_template(model, templates->front(), ContentFormat::kAuto);
  CHECK(made.ok());
  model.chat_templates.push_back(*std::move(made));
  return model;
}

}  // namespace polymath::api
