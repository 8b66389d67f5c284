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
void append_number(double v, std::string& out) {
  char text[32];
  if (std::isnan(v)) {
    out += "NaN";
  } else if (std::isinf(v)) {
    out += v > 0 ? "+Inf" : "-Inf";
  } else if (std::floor(v) == v && std::abs(v) < 1e15) {
    out.append(text, std::to_chars(text, text + sizeof(text), static_cast<int64_t>(v)).ptr);
  } else {
    out.append(text, std::to_chars(text, text + sizeof(text), v).ptr);
  }
}

std::string number(double v) {
  std::string out;
  append_number(v, out);
  return out;
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

// The lines of a histogram up to their values. A summary has only the last two.
std::vector<std::string> histogram_lines(const std::string& name, const Labels& labels, const Histogram& h,
                                         bool with_buckets) {
  std::vector<std::string> lines;
  for (size_t i = 0; with_buckets && i <= h.bounds().size(); ++i) {
    const std::string bound = i < h.bounds().size() ? number(h.bounds()[i]) : "+Inf";
    lines.push_back(absl::StrCat(name, "_bucket", label_text(labels, "le", bound), " "));
  }
  lines.push_back(absl::StrCat(name, "_sum", label_text(labels), " "));
  lines.push_back(absl::StrCat(name, "_count", label_text(labels), " "));
  return lines;
}

void render_histogram(const std::vector<std::string>& lines, const Histogram& h, std::string& out) {
  const size_t n_buckets = lines.size() - 2;
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= h.bounds().size(); ++i) {
    cumulative += h.bucket(i);
    if (i >= n_buckets) continue;
    out += lines[i];
    append_number(static_cast<double>(cumulative), out);
    out += '\n';
  }
  out += lines[n_buckets];
  append_number(h.sum(), out);
  out += '\n';
  out += lines[n_buckets + 1];
  append_number(static_cast<double>(cumulative), out);
  out += '\n';
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

void Info::set(Labels labels, double v) {
  const std::lock_guard lock(mutex_);
  labels_ = std::move(labels);
  value_ = v;
}

MetricsRegistry::Family& MetricsRegistry::family(std::string_view name, std::string_view help, std::string_view type) {
  for (auto& f : families_) {
    if (f.name == name) {
      CHECK(f.type == type && f.help == help);
      return f;
    }
  }
  Family made;
  made.name = name;
  made.type = type;
  made.help = help;
  made.head = absl::StrCat("# HELP ", made.name, " ", escape_help(help), "\n# TYPE ", made.name, " ", made.type, "\n");
  families_.push_back(std::move(made));
  return families_.back();
}

MetricsRegistry::Child& MetricsRegistry::child(Family& family, Labels labels) {
  for (auto& c : family.children) {
    if (c.labels == labels) return c;
  }
  Child made;
  made.labels = std::move(labels);
  made.lines.push_back(absl::StrCat(family.name, label_text(made.labels), " "));
  family.children.push_back(std::move(made));
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
  const auto other = bounds_.find(name);
  if (other != bounds_.end()) bounds = other->second;
  return histogram_of(name, child(family(name, help, "histogram"), std::move(labels)), std::move(bounds), true);
}

Histogram& MetricsRegistry::summary(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  return histogram_of(name, child(family(name, help, "summary"), std::move(labels)), {}, false);
}

// Makes it at the first call.
Histogram& MetricsRegistry::histogram_of(std::string_view name, Child& child, std::vector<double> bounds,
                                         bool with_buckets) {
  if (child.histogram) return *child.histogram;
  auto histogram = std::make_unique<Histogram>(std::move(bounds));
  child.lines = histogram_lines(std::string(name), child.labels, *histogram, with_buckets);
  child.histogram = std::move(histogram);
  return *child.histogram;
}

Info& MetricsRegistry::info(std::string_view name, std::string_view help, Labels fixed) {
  const std::lock_guard lock(mutex_);
  auto& c = child(family(name, help, "gauge"), std::move(fixed));
  if (!c.info) c.info = std::make_unique<Info>();
  return *c.info;
}

void MetricsRegistry::use_bounds(std::string name, std::vector<double> bounds) {
  const std::lock_guard lock(mutex_);
  for (const Family& f : families_) CHECK(f.name != name);
  bounds_[std::move(name)] = std::move(bounds);
}

void MetricsRegistry::on_render(std::function<void()> update) {
  const std::lock_guard lock(mutex_);
  updates_.push_back(std::move(update));
}

void MetricsRegistry::append(std::function<std::string()> page) {
  const std::lock_guard lock(mutex_);
  pages_.push_back(std::move(page));
}

void MetricsRegistry::render_child(const Family& family, const Child& c, std::string& out) {
  if (c.histogram) return render_histogram(c.lines, *c.histogram, out);
  if (c.counter || c.gauge) {
    out += c.lines.front();
    append_number(c.counter ? c.counter->value() : c.gauge->value(), out);
    out += '\n';
  }
  if (!c.info) return;  // perhaps nothing at all: no memory was left when it was made
  const std::lock_guard lock(c.info->mutex_);
  Labels labels = c.labels;
  labels.insert(labels.end(), c.info->labels_.begin(), c.info->labels_.end());
  absl::StrAppend(&out, family.name, label_text(labels), " ");
  append_number(c.info->value_, out);
  out += '\n';
}

std::string MetricsRegistry::render() {
  const std::lock_guard lock(mutex_);
  for (const auto& update : updates_) update();
  std::string out;
  out.reserve(rendered_bytes_ + rendered_bytes_ / 8);
  for (const auto& f : families_) {
    out += f.head;
    for (const auto& c : f.children) render_child(f, c, out);
  }
  for (const auto& page : pages_) out += page();
  rendered_bytes_ = out.size();
  return out;
}

}  // namespace polymath::base
