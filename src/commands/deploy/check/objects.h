#pragma once

// Manifests as objects that rules can find and look into.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace polymath::commands {

using Labels = std::map<std::string, std::string>;

struct Object {
  std::string file;
  base::JsonValue value;
  std::string version, kind, name, space;

  std::string title() const { return kind + "/" + name; }
};

// A pod template and what owns it.
struct Pod {
  const Object* owner = nullptr;
  const base::JsonValue* spec = nullptr;
  Labels labels;
  int64_t replicas = 1;  // as the owner says
};

class Objects {
 public:
  void add(std::string file, base::JsonValue value);
  // Once all are added.
  void find_pods();

  const std::vector<Object>& all() const { return objects_; }
  std::vector<const Object*> of_kind(std::string_view kind) const;
  const Object* find(std::string_view kind, std::string_view space, std::string_view name) const;
  const std::vector<Pod>& pods() const { return pods_; }
  // Pods of the namespace that have all of these labels.
  std::vector<const Pod*> select(std::string_view space, const Labels& labels) const;
  // The most pods of the owner: an autoscaler's maximum, or its replicas.
  int64_t replicas_max(const Pod& pod) const;

 private:
  std::vector<Object> objects_;
  std::vector<Pod> pods_;
};

// What is wrong, a sentence each: "file.yaml: Deployment/x: ...".
class Complaints {
 public:
  void add(const Object& object, std::string_view what);
  const std::vector<std::string>& all() const { return all_; }

 private:
  std::vector<std::string> all_;
};

// The value at "spec.template.metadata"; null: there is none.
const base::JsonValue* value_at(const base::JsonValue& value, std::string_view path);
std::vector<const base::JsonValue*> list_at(const base::JsonValue& value, std::string_view path);
std::string text_at(const base::JsonValue& value, std::string_view path);  // of a number its digits; absent: empty
int64_t number_at(const base::JsonValue& value, std::string_view path, int64_t fallback);
Labels labels_at(const base::JsonValue& value, std::string_view path);

// "1.5Gi" -> bytes, "250m" -> 0.25. Negative: no quantity.
double quantity(std::string_view text);

// The value of a flag among a container's arguments, in either form; empty: absent.
std::string flag_value(const std::vector<std::string>& words, std::initializer_list<std::string_view> names);
std::vector<std::string> words_of(const base::JsonValue& container);  // command and args

}  // namespace polymath::commands
