#include <cstring>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weights/checkpoint.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

// Three tensors in 24 bytes. Every bad file below is a mutation of this one.
constexpr std::string_view kGood = R"({"__metadata__": {"format": "pt"},)"
                                   R"( "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},)"
                                   R"( "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},)"
                                   R"( "c": {"dtype": "U8", "shape": [2, 1], "data_offsets": [22, 24]}})";
const std::string kData = "0123456789abcdefghijklmn";

std::string with(std::string_view from, std::string_view to) {
  std::string header(kGood);
  const size_t at = header.find(from);
  CHECK(at != header.npos);
  return safetensors(header.replace(at, from.size(), to), kData);
}

std::string with_length(uint64_t length) {
  std::string file = safetensors(kGood, kData);
  std::memcpy(file.data(), &length, sizeof(length));
  return file;
}

struct BadFile {
  const char* what;
  std::string file;
  StatusCode code;
  const char* message;
};

// The frame: length, JSON, data.
std::vector<BadFile> bad_frames() {
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  constexpr auto kLost = StatusCode::kDataLoss;
  constexpr auto kRefused = StatusCode::kFailedPrecondition;
  return {
      {"empty", "", kLost, "0 bytes"},
      {"seven bytes", "1234567", kLost, "cut short: 7 bytes"},
      {"length past the file", with_length(5000), kLost, "cut short within its header: 5000"},
      {"length past the limit", with_length(uint64_t{100u << 20} + 1), kInvalid, "a header of 104857601 bytes"},
      {"length of 2^64 - 1", with_length(UINT64_MAX), kInvalid, "at most 104857600"},
      {"length of 0", with_length(0), kInvalid, "must begin with '{'"},
      {"leading space", safetensors(" {}", ""), kInvalid, "must begin with '{'"},
      {"an array", safetensors("[]", ""), kInvalid, "must begin with '{'"},
      {"no JSON", safetensors("{]", ""), kInvalid, "not JSON at byte"},
      {"half a JSON", safetensors(R"({"a": )", ""), kInvalid, "not JSON"},
      {"text after", safetensors("{} {}", ""), kInvalid, "text after its JSON"},
      {"deep JSON", safetensors(R"({"a": {"shape": [[[[[[]]]]]]}})", ""), kInvalid, "a"},
      {"not UTF-8", with("\"a\"", "\"\xff\""), kInvalid, "not JSON"},
      {"zip", "PK\x03\x04" + std::string(100, 'z'), kRefused, "zip archive"},
      {"pickle", "\x80\x02}q" + std::string(100, '.'), kRefused, "a pickle"},
      {"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", kRefused, "git lfs pull"},
      {"gguf", "GGUF" + std::string(100, 0), kRefused, "GGUF"},
  };
}

// Errors within the JSON.
std::vector<BadFile> bad_entries() {
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  constexpr auto kLost = StatusCode::kDataLoss;
  return {
      {"twice", with("\"b\"", "\"a\""), kInvalid, "tensor \"a\" occurs twice"},
      {"twice, escaped", with("\"b\"", "\"\\u0061\""), kInvalid, "tensor \"a\" occurs twice"},
      {"metadata twice", with("{\"__", "{\"__metadata__\": {}, \"__"), kInvalid, "__metadata__\": occurs twice"},
      {"metadata number", with("\"pt\"", "1"), kInvalid, "__metadata__: must not be a number"},
      {"metadata nested", with("\"pt\"", "{}"), kInvalid, "__metadata__: must not be an object"},
      {"metadata no object", with("{\"format\": \"pt\"}", "\"pt\""), kInvalid, "must not be a string"},
      {"tensor no object", with("{\"__", "{\"n\": 7, \"__"), kInvalid, "must not be a number"},
      {"tensor null", with("{\"__", "{\"n\": null, \"__"), kInvalid, "must not be null"},
      {"unknown dtype past 2^61", with("\"BF16\", \"shape\": [3]", "\"BF17\", \"shape\": [4611686018427387904]"),
       kInvalid, "size in whole bytes"},
      {"dtype number", with("\"BF16\"", "16"), kInvalid, "dtype: must not be a number"},
      {"dtype array", with("\"BF16\"", "[]"), kInvalid, "dtype: must not be an array"},
      {"dtype twice", with("\"shape\": [3]", "\"dtype\": \"F32\""), kInvalid, "dtype: occurs twice"},
      {"no dtype", with("\"dtype\": \"BF16\", ", ""), kInvalid, "tensor \"b\": dtype: missing"},
      {"no shape", with("\"shape\": [3], ", ""), kInvalid, "tensor \"b\": shape: missing"},
      {"no offsets", with(", \"data_offsets\": [16, 22]", ""), kInvalid, "data_offsets: missing"},
      {"an unknown field, deep", with("\"shape\": [3]", "\"shape\": [3], \"x\": " + std::string(40, '[')), kInvalid,
       "not JSON"},
      {"shape negative", with("[3]", "[-3]"), kInvalid, "shape: must not be negative"},
      {"shape fraction", with("[3]", "[3.0]"), kInvalid, "shape: must be an integer"},
      {"shape exponent", with("[3]", "[3e0]"), kInvalid, "shape: must be an integer"},
      {"shape text", with("[3]", "[\"3\"]"), kInvalid, "must not be a string"},
      {"shape boolean", with("[3]", "[true]"), kInvalid, "must not be a boolean"},
      {"shape number", with("[3]", "3"), kInvalid, "must not be a number"},
      {"shape nested", with("[3]", "[[3]]"), kInvalid, "must not be an array"},
      {"rank 9", with("[3]", "[3, 1, 1, 1, 1, 1, 1, 1, 1]"), kInvalid, "more than 8 dimensions"},
      {"2^63", with("[3]", "[9223372036854775808]"), kInvalid, "too large"},
      {"2^64", with("[3]", "[18446744073709551616]"), kInvalid, "must be an integer"},
      {"bits past 2^64", with("[3]", "[4294967296, 4294967299]"), kInvalid, "size in whole bytes"},
      {"overflow behind a 0", with("[3]", "[4294967296, 4294967299, 0]"), kInvalid, "size in whole bytes"},
      {"overflow by the type", with("[3]", "[9223372036854775807]"), kInvalid, "size in whole bytes"},
      {"shape too small", with("[3]", "[2]"), kInvalid, "shape [2] of BF16 is 4 bytes, data_offsets say 6"},
      {"one offset", with("[16, 22]", "[16]"), kInvalid, "data_offsets: must be two numbers"},
      {"three offsets", with("[16, 22]", "[16, 22, 22]"), kInvalid, "data_offsets: must be two numbers"},
      {"offset negative", with("[16, 22]", "[-6, 0]"), kInvalid, "data_offsets: must not be negative"},
      {"offsets swapped", with("[16, 22]", "[22, 16]"), kInvalid, "the end is before the beginning"},
      {"offset 2^64 - 1", with("[16, 22]", "[18446744073709551609, 18446744073709551615]"), kLost, "tensor \"b\" ends"},
      {"overlap", with("[16, 22]", "[14, 20]"), kInvalid, "\"a\" and \"b\" overlap"},
      {"same bytes",
       safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                   "xy"),
       kInvalid, "overlap"},
      {"hole", safetensors(R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]}})", "01234"), kInvalid,
       "3 bytes before tensor \"a\" belong to no tensor"},
      {"tail", safetensors(kGood, kData + "??"), kInvalid, "2 bytes after the last tensor, \"c\", belong to none"},
      {"data without tensors", safetensors("{}", "?"), kInvalid, "1 bytes after the last tensor"},
      {"half a byte", safetensors(R"({"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}})", "0"), kInvalid,
       "size in whole bytes"},
  };
}

TEST(Safetensors, RefusesEveryBadFile) {
  for (const auto& files : {bad_frames(), bad_entries()}) {
    for (const BadFile& bad : files) {
      SCOPED_TRACE(bad.what);
      const auto checkpoint = parse_safetensors(bytes_of(bad.file), {});
      EXPECT_EQ(checkpoint.status().code(), bad.code) << checkpoint.status();
      EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(bad.message));
    }
  }
}

TEST(Safetensors, ReadsWhatIsThere) {
  const std::string file = safetensors(std::string(kGood) + "   ", kData);
  const auto checkpoint = parse_safetensors(bytes_of(file), {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(total_bytes(**checkpoint), 24u);
  ASSERT_EQ((*checkpoint)->tensors().size(), 3u);
  EXPECT_EQ((*checkpoint)->tensors()[1].name, "b");
  EXPECT_FALSE((*checkpoint)->has("__metadata__"));
  EXPECT_EQ(stored_format(**checkpoint, "b"), &quant::kBf16);
  EXPECT_EQ(stored_format(**checkpoint, "bb"), nullptr);
  const auto b = (*checkpoint)->read("b", {3});
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->dtype, tensor::DType::kBf16);
  EXPECT_EQ(std::memcmp(b->data, "ghijkl", 6), 0);
  (*checkpoint)->prefetch("b");
  (*checkpoint)->release("b");
  EXPECT_EQ(std::memcmp(b->data, "ghijkl", 6), 0);

  const auto other = (*checkpoint)->read("a", {4});
  EXPECT_EQ(other.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("has shape [2, 2]; [4] is expected"));
  EXPECT_EQ((*checkpoint)->read("d", {}).status().code(), StatusCode::kNotFound);
}

TEST(Safetensors, AcceptsTheEdges) {
  const std::pair<const char*, std::string> cases[] = {
      {"no tensor", safetensors("{}", "")},
      {"scalar", safetensors(R"({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})", "0123")},
      {"no element", safetensors(R"({"a": {"dtype": "F32", "shape": [0, 9], "data_offsets": [0, 0]}})", "")},
      {"two without elements", safetensors(R"({"b": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]},)"
                                           R"( "a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}})",
                                           "")},
      {"fields in another order", safetensors(R"({"a": {"data_offsets": [0, 1], "shape": [1], "dtype": "U8"}})", "0")},
      {"data in another order", safetensors(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]},)"
                                            R"( "b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
                                            "ba")},
      {"metadata null", with("{\"format\": \"pt\"}", "null")},
      {"an unknown field", with("\"shape\": [3]", "\"shape\": [3], \"x\": 1")},
      {"unknown fields of every kind",
       with("\"shape\": [3]",
            R"("x": [-1, 2.5, "s", true, null, {"shape": [9], "y": {}}], "shape": [3], "z": {"dtype": 0})")},
      {"rank 8", with("[3]", "[3, 1, 1, 1, 1, 1, 1, 1]")},
      {"packed fours", safetensors(R"({"a": {"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 3]}})", "012")},
  };
  for (const auto& [what, file] : cases) {
    SCOPED_TRACE(what);
    const auto checkpoint = parse_safetensors(bytes_of(file), {});
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  }
}

TEST(Safetensors, ListsATypeThatItDoesNotRead) {
  for (const std::string type : {"F8_E4M3", "F8_E5M2", "I8", "BOOL", "F8_E4M3FNUZ", "odd\\ntype"}) {
    const std::string file =
        safetensors("{\"w\": {\"dtype\": \"" + type + "\", \"shape\": [4], \"data_offsets\": [0, 4]}}", "0123");
    const auto checkpoint = parse_safetensors(bytes_of(file), {});
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_TRUE((*checkpoint)->has("w"));
    EXPECT_EQ((*checkpoint)->tensors()[0].dtype, tensor::DType::kCount);
    const auto w = (*checkpoint)->read("w", {4});
    EXPECT_EQ(w.status().code(), StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(w.status().message()), HasSubstr(type.starts_with("odd") ? "\"odd\\ntype\"" : type));
  }
}

TEST(Safetensors, ReadsDoubles) {
  const double values[] = {1.5, -1e-3};
  const std::string data(reinterpret_cast<const char*>(values), sizeof(values));
  const std::string file = safetensors(R"({"w": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}})", data);
  const auto checkpoint = parse_safetensors(bytes_of(file), {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto w = (*checkpoint)->read("w", {2});
  ASSERT_TRUE(w.ok() && w->format == &quant::kF64) << w.status();
  float read[2];
  w->format->dequantize({w->data}, 0, read, 2);
  EXPECT_EQ(read[0], 1.5f);
  EXPECT_EQ(read[1], -1e-3f);
}

TEST(Safetensors, HoldsItsLimits) {
  const std::string file = safetensors(kGood, kData);
  EXPECT_TRUE(parse_safetensors(bytes_of(file), {.header_bytes_max = kGood.size(), .tensors_max = 3}).ok());
  EXPECT_THAT(std::string(parse_safetensors(bytes_of(file), {.tensors_max = 2}).status().message()),
              HasSubstr("more than 2 tensors"));
  EXPECT_THAT(std::string(parse_safetensors(bytes_of(file), {.header_bytes_max = kGood.size() - 1}).status().message()),
              HasSubstr("at most"));
}

TEST(Safetensors, CutsAMessageShort) {
  const std::string name(100'000, 'n');
  const std::string file = safetensors("{\"" + name + "\": {}}", "");
  EXPECT_LT(parse_safetensors(bytes_of(file), {}).status().message().size(), 400u);
}

// Any cut is data loss. The message names the first tensor outside the file.
TEST(Safetensors, NoticesEveryCut) {
  const std::string file = safetensors(kGood, kData);
  const size_t data = file.size() - kData.size();
  for (size_t n = 0; n < file.size(); ++n) {
    const std::string cut = file.substr(0, n);
    const auto status = parse_safetensors(bytes_of(cut), {}).status();
    ASSERT_EQ(status.code(), StatusCode::kDataLoss) << n << ": " << status;
    if (n < data) continue;
    const char* first = n - data < 16 ? "\"a\"" : n - data < 22 ? "\"b\"" : "\"c\"";
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("cut short: tensor ") + first));
  }
}

// Reads every byte of every tensor. 0: the file is refused.
unsigned sum_of_accepted(const std::string& file) {
  const auto checkpoint = parse_safetensors(bytes_of(file), {});
  if (!checkpoint.ok()) return 0;
  unsigned sum = 0;
  for (const TensorInfo& info : (*checkpoint)->tensors()) {
    const auto t = (*checkpoint)->read(info.name, info.shape);
    for (size_t i = 0; t.ok() && i < info.bytes; ++i) sum += static_cast<unsigned>(t->data[i]);
  }
  return sum;
}

// Whichever byte of the header changes, an accepted file can be read.
TEST(Safetensors, SurvivesEveryChangedByte) {
  const std::string good = safetensors(kGood, kData);
  unsigned sum = 0;
  for (size_t at = 0; at < good.size() - kData.size(); ++at) {
    for (const char c : {'\0', '0', '9', '"', ' ', '{', ']', '\xff'}) {
      std::string file = good;
      file[at] = c;
      sum += sum_of_accepted(file);
    }
  }
  EXPECT_GT(sum, 0u);
}

}  // namespace
}  // namespace polymath::weights
