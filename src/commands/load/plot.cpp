#include "commands/load/plot.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace polymath::commands::load {
namespace {

constexpr double kWidth = 760, kPanelHeight = 210, kTop = 46;  // pixels
constexpr double kLeft = 64, kRight = 20, kPanelTop = 34, kPanelBottom = 34;
constexpr size_t kBars = 60;

constexpr const char* kStyle =
    "<style>\n"
    ":root{color-scheme:light dark}\n"
    ".ground{fill:#ffffff}text{fill:#1f2328;font:13px system-ui,sans-serif}.axis{stroke:#d0d7de}.bar{fill:#2f6fd0}\n"
    ".title{font-size:16px;font-weight:600}.head{font-weight:600}.faint{fill:#59636e;font-size:11px}\n"
    ".mark{stroke:#b3470b;stroke-width:1.5;stroke-dasharray:4 3}.markname{fill:#b3470b;font-size:11px}\n"
    "@media (prefers-color-scheme:dark){.ground{fill:#0d1117}text{fill:#e6edf3}.axis{stroke:#30363d}"
    ".bar{fill:#5b9bf5}.faint{fill:#9198a1}.mark{stroke:#f0a06a}.markname{fill:#f0a06a}}\n"
    "</style>\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string number(double value) {
  return value >= 100 ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.3g", value);
}

struct Mark {
  std::string name;
  double x = 0;
};

// One panel: bars of equal width from 0 to x_end.
struct Panel {
  std::string title, note;
  std::vector<double> heights;
  double x_end = 1;
  std::string x_unit, y_unit;
  std::vector<Mark> marks;
};

// The least round number that is no less than `value`.
double round_up(double value) {
  if (!(value > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0}) {
    if (value <= step * power) return step * power;
  }
  return 10 * power;
}

void add_text(std::string& out, double x, double y, std::string_view attributes, std::string_view text) {
  absl::StrAppendFormat(&out, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, std::string(attributes),
                        escaped(text));
}

void draw(const Panel& panel, double top, std::string& out) {
  const double width = kWidth - kLeft - kRight, base = top + kPanelHeight - kPanelBottom;
  const double height = kPanelHeight - kPanelTop - kPanelBottom;
  add_text(out, kLeft, top + 18, "class=\"head\"", panel.title);
  add_text(out, kWidth - kRight, top + 18, "class=\"faint\" text-anchor=\"end\"", panel.note);
  const double highest = panel.heights.empty() ? 0 : *std::max_element(panel.heights.begin(), panel.heights.end());
  const double y_max = round_up(highest);
  for (const double share : {0.0, 0.5, 1.0}) {
    const double y = base - share * height;
    absl::StrAppendFormat(&out, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", kLeft,
                          kLeft + width, y, y);
    add_text(out, kLeft - 6, y + 4, "class=\"faint\" text-anchor=\"end\"", number(share * y_max) + panel.y_unit);
  }
  const double step = width / static_cast<double>(std::max<size_t>(1, panel.heights.size()));
  for (size_t i = 0; i < panel.heights.size(); ++i) {
    const double bar = panel.heights[i] / y_max * height;
    if (bar <= 0) continue;
    absl::StrAppendFormat(&out, "<rect class=\"bar\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>\n",
                          kLeft + static_cast<double>(i) * step, base - bar, std::max(1.0, step - 1), bar);
  }
  for (int tick = 0; tick <= 4; ++tick) {
    add_text(out, kLeft + width * tick / 4, base + 16, "class=\"faint\" text-anchor=\"middle\"",
             number(panel.x_end * tick / 4) + panel.x_unit);
  }
  double name_y = top + kPanelTop + 13;  // names lie below each other: marks may be close
  for (const Mark& mark : panel.marks) {
    const double x = kLeft + mark.x / panel.x_end * width;
    const bool left = x > kLeft + width * 0.8;
    absl::StrAppendFormat(&out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", x, x,
                          top + kPanelTop, base);
    add_text(out, left ? x - 4 : x + 4, name_y, left ? "class=\"markname\" text-anchor=\"end\"" : "class=\"markname\"",
             mark.name);
    name_y += 14;
  }
}

// Up to the 99th percentile: a few late values would flatten the others. The note counts those beyond.
Panel histogram(std::string title, const Distribution& d) {
  Panel panel{.title = std::move(title), .x_unit = " ms", .y_unit = " %"};
  if (d.empty()) {
    panel.note = "not measured";
    return panel;
  }
  panel.x_end = round_up(d.percentile(99));
  panel.heights.assign(kBars, 0);
  const double n = static_cast<double>(d.sorted().size());
  size_t beyond = 0;
  for (const double value : d.sorted()) {
    const size_t bar = static_cast<size_t>(std::max(0.0, value) / panel.x_end * kBars);
    if (bar < kBars) {
      panel.heights[bar] += 100 / n;
    } else {
      ++beyond;
    }
  }
  panel.note = absl::StrCat(d.sorted().size(), " values, ", beyond, " beyond, at most ", number(d.max()), " ms");
  for (const double p : {50.0, 95.0, 99.0}) {
    panel.marks.push_back({absl::StrCat("p", p, " ", number(d.percentile(p)), " ms"), d.percentile(p)});
  }
  return panel;
}

// Answers that came at once count when they ended.
Panel rate_over_time(const Measures& m, const RunResult& run) {
  Panel panel{.title = "Output tokens a second", .x_unit = " s"};
  panel.x_end = std::max(m.seconds, 1e-3);
  panel.heights.assign(kBars, 0);
  const double width = panel.x_end / kBars;
  const auto add = [&](double at, double tokens) {
    const double bar = std::clamp(at / width, 0.0, static_cast<double>(kBars - 1));
    panel.heights[static_cast<size_t>(bar)] += tokens / width;
  };
  for (const Record& record : run.records) {
    if (!record.completed()) continue;
    for (const TokenEvent& event : record.events) add(event.at, event.tokens);
    if (record.events.empty()) add(record.end, static_cast<double>(record.output_tokens));
  }
  panel.note = absl::StrCat("mean ", number(m.per_second(static_cast<double>(m.output_tokens))), " tok/s");
  return panel;
}

}  // namespace

std::string plot_svg(std::string_view title, const Measures& m, const RunResult& run) {
  const Panel panels[] = {
      histogram("Time to first token, share of requests", m.latencies[static_cast<size_t>(Latency::kTtft)]),
      histogram("Inter-token latency, share of tokens", m.latencies[static_cast<size_t>(Latency::kItl)]),
      rate_over_time(m, run),
  };
  const double height = kTop + 3 * kPanelHeight;
  std::string out = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
      "role=\"img\">\n",
      kWidth, height, kWidth, height);
  absl::StrAppend(&out, "<title>", escaped(title), "</title>\n", kStyle,
                  "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n");
  add_text(out, kLeft, 28, "class=\"title\"", title);
  double top = kTop;
  for (const Panel& panel : panels) {
    draw(panel, top, out);
    top += kPanelHeight;
  }
  out += "</svg>\n";
  return out;
}

}  // namespace polymath::commands::load
