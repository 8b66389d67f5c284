// range, dict, namespace, cycler, joiner, raise_exception, strftime_now.

#include <array>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "text/jinja/call.h"
#include "text/jinja/format.h"

namespace polymath::text::jinja {
namespace {

constexpr size_t kRangeMax = 100'000;  // elements of a range, as Jinja's sandbox has it; more: TemplateError

size_t range_length(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const auto span = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                             : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const auto stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return (span - 1) / stride + 1;
}

Value range(Context& context, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "range", {"start", "stop", "step"}, 1);
  Range range{0, p.integer(0, 0), p.integer(2, 1), 0};
  if (p.has(1)) {
    range.start = p.integer(0, 0);
    range.stop = p.integer(1, 0);
  }
  if (range.step == 0) fail("range() arg 3 must not be zero");
  range.length = range_length(range.start, range.stop, range.step);
  if (range.length > kRangeMax) {
    fail(absl::StrCat("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kRangeMax, ")."));
  }
  Value v;
  v.kind = Kind::kRange;
  v.range = context.budget().make<Range>(range);
  return v;
}

void insert_all(Budget& budget, Dict& dict, const Value& from) {
  if (from.is(Kind::kDict)) {
    for (const auto& [key, value] : from.dict->entries) insert(budget, dict, key, value);
    return;
  }
  for (const Value& pair : elements(budget, from)->items) {
    const Values& items = elements(budget, pair)->items;
    if (items.size() != 2) fail("dict() takes a dict or pairs");
    insert(budget, dict, items[0], items[1]);
  }
}

Dict* make_dict(Context& context, const Arguments& arguments) {
  Dict* result = new_dict(context.budget());
  if (arguments.positional.size() > 1) fail("dict() takes at most one positional argument");
  if (!arguments.positional.empty()) insert_all(context.budget(), *result, arguments.positional[0]);
  for (const auto& [key, value] : arguments.named) insert(context.budget(), *result, string(key), value);
  return result;
}

Value dict(Context& context, const Arguments& arguments) { return dict_value(make_dict(context, arguments)); }

Value make_namespace(Context& context, const Arguments& arguments) {
  Value v = dict_value(make_dict(context, arguments));
  v.kind = Kind::kNamespace;
  return v;
}

Value cycler(Context& context, const Arguments& arguments) {
  if (arguments.positional.empty()) fail("at least one item has to be provided to cycler()");
  Value v;
  v.kind = Kind::kCycler;
  v.cycler = context.budget().make<Cycler>(context.budget().objects());
  v.cycler->items = arguments.positional;
  return v;
}

Value joiner(Context& context, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "joiner", {"sep"});
  Value v;
  v.kind = Kind::kJoiner;
  v.joiner = context.budget().make<Joiner>(Joiner{p.at(0, string(", "))});
  return v;
}

Value raise_exception(Context& context, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "raise_exception", {"message"}, 1);
  throw TemplateError{std::string(to_str(context.budget(), p.at(0))), true};
}

// One "%-d" of strftime; flags and a letter, without widths: glibc would take any.
size_t append_time(Builder& out, std::string_view format, const std::tm& time) {
  static constexpr std::string_view kFlags = "-_0^#EO", kLetters = "aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ%";
  size_t i = 1;
  while (i < format.size() && i < 4 && kFlags.find(format[i]) != kFlags.npos) ++i;
  if (format.substr(0, 2) == "%f") {  // microseconds, of a clock of whole seconds
    out.append("000000");
    return 2;
  }
  if (i >= format.size() || kLetters.find(format[i]) == kLetters.npos) {
    out.append("%");
    return 1;
  }
  if (format[i] == 'z' || format[i] == 'Z') return i + 1;  // Python's now() knows no zone and writes nothing
  char buffer[256];
  const std::string one(format.substr(0, i + 1));
  out.append(std::string_view(buffer, std::strftime(buffer, sizeof buffer, one.c_str(), &time)));
  return i + 1;
}

Value strftime_now(Context& context, const Arguments& arguments) {
  const Parameters p(context.budget(), arguments, "strftime_now", {"format"}, 1);
  const auto seconds = static_cast<std::time_t>(context.now_unix());
  std::tm time{};
  if (gmtime_r(&seconds, &time) == nullptr) fail("the time does not fit a calendar");
  Builder out(context.budget());
  for (std::string_view format = p.text(0, ""); !format.empty();) {
    context.budget().step();
    if (format[0] == '%') {
      format.remove_prefix(append_time(out, format, time));
      continue;
    }
    const std::string_view plain = format.substr(0, format.find('%'));
    out.append(plain);
    format.remove_prefix(plain.size());
  }
  return string(out.finish());
}

constexpr std::array<Global, 7> kGlobals = {{
    {"raise_exception", raise_exception},
    {"namespace", make_namespace},
    {"range", range},
    {"strftime_now", strftime_now},
    {"dict", dict},
    {"joiner", joiner},
    {"cycler", cycler},
}};

}  // namespace

Value find_global(std::string_view name) {
  Value v;
  for (const Global& global : kGlobals) {
    if (global.name != name) continue;
    v.kind = Kind::kGlobal;
    v.global = &global;
  }
  return v;
}

Value call_cycler(Cycler& cycler) {
  const Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Value call_joiner(Joiner& joiner) {
  if (joiner.used) return joiner.separator;
  joiner.used = true;
  return string({});
}

}  // namespace polymath::text::jinja
