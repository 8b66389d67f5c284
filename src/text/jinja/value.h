#pragma once

// The values of a template: Python's, as far as chat templates use them.
//
// A Value is a word, its kind, and for text its length. Its target belongs to the rendering's Budget, the parsed
// template or the caller's JSON; all of these outlive it. The sandbox is immutable: visible lists, dicts and text never
// change. Only namespaces, scopes, cyclers and joiners do.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/memory.h"

namespace polymath::text::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kDict,
  kRange,
  kNamespace,
  kMacro,
  kMethod,
  kGlobal,
  kLoop,
  kCycler,
  kJoiner,
};

struct List;
struct Dict;
struct Range;
struct Macro;
struct Method;
struct Global;
struct Loop;
struct Cycler;
struct Joiner;
struct Missing;

struct Value {
  Kind kind = Kind::kUndefined;
  union {
    const Missing* missing = nullptr;  // null: nothing is known about it
    bool boolean;
    int64_t integer;
    double number;
    const char* chars;
    const List* list;
    Dict* dict;  // changed only when it is a namespace's
    const Range* range;
    const Macro* macro;
    const Method* method;
    const Global* global;
    Loop* loop;
    Cycler* cycler;
    Joiner* joiner;
  };
  size_t size = 0;  // bytes of a string; of a kFloat from JSON: the integer beyond int64 that it stands for, else 0

  bool is(Kind k) const { return kind == k; }
  std::string_view text() const { return {chars, size}; }  // REQUIRES: kString
};

using Values = std::pmr::vector<Value>;

enum class ListKind : uint8_t { kList, kTuple, kGenerator, kItems, kKeys, kValues, kGroup };

struct List {
  List(ListKind k, std::pmr::memory_resource* memory) : kind(k), items(memory) {}
  ListKind kind;
  Values items;
};

struct Dict {
  explicit Dict(std::pmr::memory_resource* memory) : entries(memory) {}
  std::pmr::vector<std::pair<Value, Value>> entries;  // in the order of insertion; keys are distinct
};

struct Range {
  int64_t start, stop, step;
  size_t length;
  // REQUIRES: i < length. Unsigned, because i * step alone need not fit.
  int64_t at(size_t i) const {
    return static_cast<int64_t>(static_cast<uint64_t>(start) + i * static_cast<uint64_t>(step));
  }
};

// Why a value is undefined: what an error about it says.
struct Missing {
  std::string_view name;      // "x", or the key as Python writes it
  std::string_view owner;     // "dict object"; empty: a variable
  bool is_element = false;    // a key that is no text: "has no element 3"
  std::string_view sentence;  // if not empty, the whole of it
};

struct Method {
  Value self;
  std::string_view name;
};

struct Cycler {
  explicit Cycler(std::pmr::memory_resource* memory) : items(memory) {}
  Values items;
  size_t position = 0;
};

struct Joiner {
  Value separator;
  bool used = false;
};

Value none();
Value boolean(bool b);
Value integer(int64_t i);
Value number(double f);
Value large_integer(uint64_t u);      // REQUIRES: beyond int64. Is written out exactly; elsewhere its double counts
Value string(std::string_view text);  // not copied
Value list_value(const List* list);
Value dict_value(Dict* dict);
Value undefined(Budget& budget, const Missing& missing);

List* new_list(Budget& budget, ListKind kind = ListKind::kList);
Dict* new_dict(Budget& budget);

// What Python calls the type: "str", "list", "NoneType".
std::string_view type_name(const Value& v);

bool truth(const Value& v);
bool is_number(const Value& v);    // bool, int or float
double to_double(const Value& v);  // REQUIRES: is_number(v)
bool equal(Budget& budget, const Value& a, const Value& b, int depth = 0);
bool less(Budget& budget, const Value& a, const Value& b, int depth = 0);  // TemplateError: not comparable

// Null: absent. Keys compare as Python's do: 1, 1.0 and true are one key.
const Value* find(Budget& budget, const Dict& dict, const Value& key);
const Value* find(Budget& budget, const Dict& dict, std::string_view key);
void insert(Budget& budget, Dict& dict, const Value& key, const Value& value);  // TemplateError: unhashable key

// len(v); TemplateError if it has none.
size_t length(Budget& budget, const Value& v);
bool is_iterable(const Value& v);
// The elements: a list's own, a dict's keys, a text's characters. TemplateError: not iterable.
const List* elements(Budget& budget, const Value& v);

// Fails with "'x' is undefined" if it is; `what` is asked of a value that must be defined.
void expect_defined(const Value& v);

// TemplateError unless v is a text / an integer (or bool); `what` names it in the message.
std::string_view expect_text(const Value& v, std::string_view what);
int64_t expect_integer(const Value& v, std::string_view what);

}  // namespace polymath::text::jinja
