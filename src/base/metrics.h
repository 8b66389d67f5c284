#pragma once

// Counters, gauges and histograms, and their Prometheus text form.
//
// Updating is lock-free and allocates nothing. Any thread may render a snapshot at any time. Rendering waits for no
// thread that updates. Metrics are made at start-up and live as long as their registry. Why not prometheus-cpp:
// docs/adr/0006-own-metrics.md.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace polymath::base {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(double n = 1) {  // n >= 0
    double seen = value_.load(std::memory_order_relaxed);
    while (!value_.compare_exchange_weak(seen, seen + n, std::memory_order_relaxed)) {
    }
  }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);  // strictly ascending; +Inf is implied
  void observe(double v);                                // NaN is counted in +Inf and left out of the sum
  double sum() const { return sum_.value(); }
  uint64_t count() const;
  const std::vector<double>& bounds() const { return bounds_; }
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }  // not cumulative

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;
  Counter sum_;
};

// A gauge with labels that change, such as the names of what runs. It has one series at a time.
class Info {
 public:
  void set(Labels labels, double v);  // beside the fixed ones; replaces those set before

 private:
  friend class MetricsRegistry;
  std::mutex mutex_;
  Labels labels_;
  double value_ = 0;
};

// 1, 2, 5, 10, ... up to the first that is not below `max`.
std::vector<double> one_two_five(double max);

class MetricsRegistry {
 public:
  // `name` as exported ("vllm:prompt_tokens_total"). The same name with other labels joins the family; with the
  // same labels it is the same metric. REQUIRES: the same kind and help as before.
  Counter& counter(std::string_view name, std::string_view help, Labels labels);
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels);
  Histogram& histogram(std::string_view name, std::string_view help, Labels labels, std::vector<double> bounds);
  // Sum and count alone.
  Histogram& summary(std::string_view name, std::string_view help, Labels labels);
  Info& info(std::string_view name, std::string_view help, Labels fixed);

  // Histograms of this name get these bounds instead of their own. REQUIRES: none of them is made yet.
  void use_bounds(std::string name, std::vector<double> bounds);
  // Called before each render(), one thread at a time, to set gauges that are only read then. It must not use the
  // registry, and must not block.
  void on_render(std::function<void()> update);
  // Text of families that are not the registry's, behind its own at each render(). As on_render().
  void append(std::function<std::string()> page);

  // Prometheus text format 0.0.4.
  std::string render();

 private:
  // A series of a family. Its text up to the values is made once.
  struct Child {
    Labels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::unique_ptr<Info> info;
    std::vector<std::string> lines;  // of a histogram: its buckets, sum, count
  };
  struct Family {
    std::string name, type, help, head;
    std::deque<Child> children;
  };
  Family& family(std::string_view name, std::string_view help, std::string_view type);
  static Child& child(Family& family, Labels labels);  // the one with these labels, or a new, empty one
  static Histogram& histogram_of(std::string_view name, Child& child, std::vector<double> bounds, bool with_buckets);
  static void render_child(const Family& family, const Child& child, std::string& out);

  std::mutex mutex_;
  std::deque<Family> families_;
  std::map<std::string, std::vector<double>, std::less<>> bounds_;
  std::vector<std::function<void()>> updates_;
  std::vector<std::function<std::string()>> pages_;
  size_t rendered_bytes_ = 0;  // of the last render
};

}  // namespace polymath::base
