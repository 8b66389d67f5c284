#pragma once

// The formats in which models write tool calls, as rows. A format's family says which machine reads it.
//
// Sources: the models' chat templates, and the parsers of vLLM 0.33 whose names the rows have.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "text/output/call_machine.h"

namespace polymath::text {

inline constexpr size_t kCallNameMax = 256;  // bytes of a function's name; a longer one is no call

enum class CallFamily : uint8_t {
  kJson,      // {"name": "f", "arguments": {...}}, or a list of these
  kNamed,     // f<mark>{...}
  kMistral,   // kJson where a list or an object follows, else kNamed
  kTagged,    // <function=f><parameter=a>1</parameter></function>
  kPythonic,  // [f(a=1, b="x")]
  kHarmony,   // gpt-oss's channels; read by HarmonyParser
};

using Marks = std::vector<std::string_view>;

struct CallFormat {
  std::string_view name;
  std::vector<std::string_view> aliases;
  CallFamily family = CallFamily::kJson;
  Marks begins;            // what calls begin with; none within a text
  std::string_view bare;   // calls without a mark begin with one of these bytes, at the beginning of the content alone
  std::string_view end;    // empty: the calls end where the format does
  bool short_ids = false;  // an id is nine letters and digits, as the model's template asks
  bool detected = true;    // a model whose template writes calls so gets this format by default

  struct Json {
    Marks names = {"name"}, arguments = {"arguments", "parameters"};  // members of a call
    bool needs_arguments = false;                                     // an object without them is no call
    bool name_is_key = false;                                         // {"f": {...}}
  } json;
  // Places: {name}, or {id} for functions.f:0. A header ends at the arguments' "{".
  struct Named {
    std::string_view call_begin;  // before every call
    Marks headers;
    Marks tails;  // marks behind a call's arguments
  } named;
  struct Tagged {
    std::string_view call_begin, name_end;  // name_end empty: at a newline or "<"
    std::string_view call_end;
    std::string_view key_begin, key_end;
    std::string_view value_begin;  // behind key_end; empty: none
    std::string_view value_end;
    bool trims_newlines = false;    // one newline at either end of a value is the format's
    bool string_attribute = false;  // the key has ` string="true"` or ` string="false"`
    bool untyped_is_json = false;   // a value whose type is not declared may be JSON; else it is a string
  } tagged;
  bool lines = false;  // kPythonic: calls without a list, one a line
};

// In order of preference: where a template's calls can be read in several, the first is the default.
std::span<const CallFormat> call_formats();

// By name or alias. Null: there is none.
const CallFormat* find_call_format(std::string_view name);

// For the text behind `mark`, one of format.begins; empty: `bare` begins it. `format` and `types` must outlive the
// machine. REQUIRES: not kHarmony.
std::unique_ptr<CallMachine> make_call_machine(const CallFormat& format, std::string_view mark, const ToolTypes& types);

// Families; see the row's comments. `in_call`: the mark that begins a call was read.
std::unique_ptr<CallMachine> make_json_calls(const CallFormat& format);
std::unique_ptr<CallMachine> make_named_calls(const CallFormat& format, bool in_call);
std::unique_ptr<CallMachine> make_mistral_calls(const CallFormat& format);
std::unique_ptr<CallMachine> make_tagged_calls(const CallFormat& format, bool in_call, const ToolTypes& types);
std::unique_ptr<CallMachine> make_pythonic_calls(const CallFormat& format);

}  // namespace polymath::text
