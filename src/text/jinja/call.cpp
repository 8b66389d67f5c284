#include "text/jinja/call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "text/jinja/format.h"

namespace polymath::text::jinja {

Parameters::Parameters(Budget& budget, const Arguments& arguments, std::string_view function,
                       std::initializer_list<std::string_view> names, size_t required)
    : function_(function) {
  CHECK(names.size() <= kParametersMax);
  budget.step();
  const std::string name(function);
  if (arguments.positional.size() > names.size()) {
    fail(absl::StrCat(name, "() takes at most ", names.size(), " argument(s), got ", arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    given_[i] = true;
    values_[i] = arguments.positional[i];
  }
  for (const auto& [key, value] : arguments.named) {
    const size_t i = std::find(names.begin(), names.end(), key) - names.begin();
    if (i == names.size()) {
      fail(absl::StrCat(name, "() got an unexpected keyword argument '", std::string(key), "'"));
    }
    if (given_[i]) fail(absl::StrCat(name, "() got multiple values for argument '", std::string(key), "'"));
    given_[i] = true;
    values_[i] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given_[i]) fail(absl::StrCat(name, "() needs its argument '", std::string(names.begin()[i]), "'"));
  }
}

int64_t Parameters::integer(size_t i, int64_t fallback) const {
  return given_[i] ? expect_integer(values_[i], absl::StrCat("an argument of ", std::string(function_), "()"))
                   : fallback;
}

std::string_view Parameters::text(size_t i, std::string_view fallback) const {
  return given_[i] ? expect_text(values_[i], absl::StrCat("an argument of ", std::string(function_), "()")) : fallback;
}

Filter find_filter(std::string_view name) {
  if (const Filter filter = find_text_filter(name)) return filter;
  if (const Filter filter = find_sequence_filter(name)) return filter;
  if (const Filter filter = find_selection_filter(name)) return filter;
  return find_number_filter(name);
}

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }
bool is_test(std::string_view name) { return find_test(name) != nullptr; }

Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) fail(absl::StrCat("there is no filter '", std::string(name), "'"));
  return filter(context, value, arguments);
}

bool apply_test(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const Test test = find_test(name);
  if (test == nullptr) fail(absl::StrCat("there is no test '", std::string(name), "'"));
  return test(context, value, arguments);
}

}  // namespace polymath::text::jinja
