#pragma once

// What a JSON schema asks of a value: a list of shapes. The value has at least one of them.
//
// Several keywords are an intersection. So are allOf, $ref beside other keywords, and what two parts say of one
// property. An intersection is kept as a list of places in the document (Conjunction). It is merged when its own rule
// is built. So recursion ends: there are finitely many lists.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/grammar/grammar.h"

namespace polymath::text::grammar {

using Conjunction = std::vector<const base::JsonValue*>;  // sorted, without repeats

enum JsonType : uint8_t {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kFractionType = 8,  // a number that is not whole
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAnyType = 127,
};
inline constexpr uint8_t kNumberType = kIntegerType | kFractionType;

struct NumberBound {
  const base::JsonValue* value = nullptr;
  bool exclusive = false;
};

// Keywords of one schema object that only have a meaning together.
struct ObjectPart {
  const base::JsonObject* properties = nullptr;
  const base::JsonObject* patterns = nullptr;
  const base::JsonValue* additional = nullptr;
};
struct ArrayPart {
  const base::JsonArray* prefix = nullptr;
  const base::JsonValue* items = nullptr;
};

struct Shape {
  uint8_t types = kAnyType;
  std::optional<std::vector<const base::JsonValue*>> values;  // enum and const; absent: any
  // Strings.
  std::vector<std::string> patterns, formats;
  int length_min = 0, length_max = kUnbounded;
  // Numbers.
  std::vector<NumberBound> at_least, at_most;
  std::vector<const base::JsonValue*> multiples;
  // Arrays.
  std::vector<ArrayPart> arrays;
  int items_min = 0, items_max = kUnbounded;
  bool unique = false;
  // Objects.
  std::vector<ObjectPart> objects;
  std::vector<std::string> required;
  Conjunction names;  // propertyNames
  int members_min = 0, members_max = kUnbounded;
};

void add_to(Conjunction& list, const base::JsonValue* schema);

class ShapeReader {
 public:
  ShapeReader(const base::JsonValue& document, const GrammarLimits& limits) : document_(document), limits_(limits) {}

  // The shapes of all schemas of the list together. None: nothing satisfies it.
  absl::StatusOr<std::vector<Shape>> read(const Conjunction& schemas);

  // Whether two schemas' shapes share no value; set by the builder, which can compare texts. False: they may share one.
  using Disjoint = std::function<absl::StatusOr<bool>(const Shape&, const Shape&)>;
  void set_disjoint(Disjoint disjoint) { disjoint_ = std::move(disjoint); }
  absl::StatusOr<bool> disjoint(const std::vector<Shape>& a, const std::vector<Shape>& b) const;

 private:
  using Shapes = std::vector<Shape>;

  absl::Status apply(Shapes& shapes, const base::JsonValue& schema, int depth);
  absl::Status apply_keywords(Shapes& shapes, const base::JsonObject& schema);
  absl::Status apply_branches(Shapes& shapes, const base::JsonValue& list, bool exactly_one, int depth);
  absl::StatusOr<const base::JsonValue*> resolve(std::string_view reference) const;
  absl::Status check_count(const Shapes& shapes) const;

  const base::JsonValue& document_;
  const GrammarLimits& limits_;
  Disjoint disjoint_;
};

}  // namespace polymath::text::grammar
