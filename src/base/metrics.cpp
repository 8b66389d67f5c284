#include "base/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::base {
namespace {

// The shortest text that reads back as the same number.
std::string number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  if (std::floor(v) == v && std::abs(v) < 1e15) return absl::StrCat(static_cast<int64_t>(v));
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof(text), v).ptr);
}

std::string escape_help(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string escape_label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string label_text(const Labels& labels, std::string_view extra_name = "", std::string_view extra_value = "") {
  std::string out;
  for (const auto& [name, value] : labels)
    absl::StrAppend(&out, out.empty() ? "" : ",", name, "=\"", escape_label(value), "\"");
  if (!extra_name.empty()) {
    absl::StrAppend(&out, out.empty() ? "" : ",", std::string(extra_name), "=\"", std::string(extra_value), "\"");
  }
  return out.empty() ? "" : absl::StrCat("{", out, "}");
}

void render_histogram(const std::string& name, const Labels& labels, const Histogram& h, std::string& out) {
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= h.bounds().size(); ++i) {
    cumulative += h.bucket(i);
    const std::string bound = i < h.bounds().size() ? number(h.bounds()[i]) : "+Inf";
    absl::StrAppend(&out, name, "_bucket", label_text(labels, "le", bound), " ", cumulative, "\n");
  }
  absl::StrAppend(&out, name, "_sum", label_text(labels), " ", number(h.sum()), "\n");
  absl::StrAppend(&out, name, "_count", label_text(labels), " ", cumulative, "\n");
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds)
    : bounds_(std::move(upper_bounds)), buckets_(new std::atomic<uint64_t>[bounds_.size() + 1]()) {
  CHECK(std::is_sorted(bounds_.begin(), bounds_.end(), std::less_equal<double>()));
}

void Histogram::observe(double v) {
  if (std::isnan(v)) {
    buckets_[bounds_.size()].fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const size_t i = std::lower_bound(bounds_.begin(), bounds_.end(), v) - bounds_.begin();
  buckets_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.add(v);
}

uint64_t Histogram::count() const {
  uint64_t n = 0;
  for (size_t i = 0; i <= bounds_.size(); ++i) n += bucket(i);
  return n;
}

std::vector<double> one_two_five(double max) {
  std::vector<double> out;
  for (double decade = 1;; decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      out.push_back(decade * step);
      if (out.back() >= max) return out;
    }
  }
}

MetricsRegistry::Family& MetricsRegistry::family(std::string_view name, std::string_view help, std::string_view type) {
  for (auto& f : families_) {
    if (f.name == name) {
      CHECK(f.type == type && f.help == help);
      return f;
    }
  }
  families_.push_back({std::string(name), std::string(help), std::string(type), {}});
  return families_.back();
}

MetricsRegistry::Child& MetricsRegistry::child(Family& family, Labels labels) {
  for (auto& c : family.children) {
    if (c.labels == labels) return c;
  }
  family.children.push_back({std::move(labels), nullptr, nullptr, nullptr});
  return family.children.back();
}

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  auto& c = child(family(name, help, "counter"), std::move(labels));
  if (!c.counter) c.counter = std::make_unique<Counter>();
  return *c.counter;
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  auto& c = child(family(name, help, "gauge"), std::move(labels));
  if (!c.gauge) c.gauge = std::make_unique<Gauge>();
  return *c.gauge;
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help, Labels labels,
                                      std::vector<double> bounds) {
  const std::lock_guard lock(mutex_);
  auto& c = child(family(name, help, "histogram"), std::move(labels));
  if (!c.histogram) c.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *c.histogram;
}

std::string MetricsRegistry::render() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& f : families_) {
    absl::StrAppend(&out, "# HELP ", f.name, " ", escape_help(f.help), "\n# TYPE ", f.name, " ", f.type, "\n");
    for (const auto& c : f.children) {
      if (c.histogram) {
        render_histogram(f.name, c.labels, *c.histogram, out);
      } else {
        absl::StrAppend(&out, f.name, label_text(c.labels), " ",
                        number(c.counter ? c.counter->value() : c.gauge->value()), "\n");
      }
    }
  }
  return out;
}

}  // namespace polymath::base
