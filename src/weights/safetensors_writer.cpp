#include "weights/safetensors_writer.h"

#include <algorithm>
#include <numeric>

#include "base/json.h"

namespace polymath::weights {
namespace {

constexpr size_t kLengthBytes = 8, kAlignment = 8;

uint64_t element_bytes(const NewTensor& t) {
  return t.bytes / static_cast<uint64_t>(std::max<int64_t>(t.shape.elements(), 1));
}

base::JsonValue entry_of(const NewTensor& t, uint64_t begin) {
  base::JsonArray shape;
  for (int i = 0; i < t.shape.rank(); ++i) shape.push_back(t.shape[i]);
  return base::JsonObject{{"dtype", boost::json::string(t.type)},
                          {"shape", std::move(shape)},
                          {"data_offsets", base::JsonArray{begin, begin + t.bytes}}};
}

}  // namespace

SafetensorsLayout lay_out_safetensors(std::span<const NewTensor> tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return element_bytes(tensors[a]) > element_bytes(tensors[b]); });
  base::JsonObject entries{{"__metadata__", base::JsonObject{{"format", "pt"}}}};
  SafetensorsLayout out;
  out.places.resize(tensors.size());
  for (const size_t i : order) {
    entries[tensors[i].name] = entry_of(tensors[i], out.bytes);
    out.places[i] = out.bytes;
    out.bytes += tensors[i].bytes;
  }
  std::string json = base::to_text(entries);
  json.resize((json.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  for (size_t i = 0; i < kLengthBytes; ++i) out.header.push_back(static_cast<char>(json.size() >> (8 * i)));
  out.header += json;
  for (uint64_t& place : out.places) place += out.header.size();
  out.bytes += out.header.size();
  return out;
}

}  // namespace polymath::weights
