#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "weights/gguf_header.h"
#include "weights/gguf_test_file.h"
#include "weights/model_files.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

using ::testing::HasSubstr;
using StatusCode = absl::StatusCode;

constexpr uint32_t kF32 = 0, kQ8_K = 15, kQ8_0 = 8, kI32 = 26;

std::string block() { return std::string(34, '\x01'); }  // of Q8_0

GgufFile small() {
  GgufFile f;
  f.string("general.architecture", "qwen2moe").u32("general.alignment", 32);
  f.tensor("b", {2, 3}, kF32, std::string(24, 'x')).tensor("a", {32, 2}, kQ8_0, block() + block());
  f.tensor("c", {1, 1}, kI32, std::string(4, 'y')).tensor("d", {256}, kQ8_K, std::string(292, 'z'));
  return f;
}

TEST(Gguf, ListsAndReadsTensors) {
  for (const uint32_t version : {2, 3}) {
    GgufFile file = small();
    file.version = version;
    const std::string bytes = file.bytes();
    const auto files = parse_gguf(bytes_of(bytes), {});
    ASSERT_TRUE(files.ok()) << files.status();
    const auto checkpoint = *(*files)->open_checkpoint();
    ASSERT_EQ(checkpoint->tensors().size(), 4u);
    EXPECT_EQ(checkpoint->naming(), Naming::kGguf);
    EXPECT_EQ(total_bytes(*checkpoint), 24u + 68 + 4 + 292);
    const auto a = checkpoint->read("a", {2, 32});
    ASSERT_TRUE(a.ok()) << a.status();
    EXPECT_EQ(a->format->name, "q8_0");
    EXPECT_EQ(std::memcmp(a->data, block().data(), 34), 0);
    EXPECT_EQ(checkpoint->read("b", {3, 2})->format, &quant::kF32);
    EXPECT_EQ(checkpoint->read("c", {1, 1})->format, nullptr);
    EXPECT_THAT(std::string(checkpoint->read("b", {2, 3}).status().message()), HasSubstr("[3, 2]; [2, 3] is expected"));
    const auto d = checkpoint->read("d", {256}).status();
    EXPECT_EQ(d.code(), StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(d.message()), HasSubstr("stored as Q8_K"));
  }
}

TEST(Gguf, OuterDimensionsOfOneDoNotMatter) {
  const std::string bytes = GgufFile().tensor("v", {4}, kF32, std::string(16, 'x')).bytes();
  const auto checkpoint = *(*parse_gguf(bytes_of(bytes), {}))->open_checkpoint();
  EXPECT_TRUE(checkpoint->read("v", {1, 4}).ok());
  EXPECT_TRUE(checkpoint->read("v", {4}).ok());
  EXPECT_FALSE(checkpoint->read("v", {4, 1}).ok());
}

struct BadFile {
  const char* what;
  std::function<std::string()> file;
  StatusCode code;
  const char* message;
};

constexpr auto kInvalid = StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = StatusCode::kUnimplemented;

std::string tensor_file(const std::vector<uint64_t>& dims, uint32_t type, std::string_view data) {
  return GgufFile().tensor("t", dims, type, data).bytes();
}
std::string array_file(uint32_t type, uint64_t n, const std::string& values) {
  return GgufFile().pair("k", 9, GgufFile::raw(type) + GgufFile::raw(n) + values).bytes();
}
std::string claims(uint64_t tensors, uint64_t pairs) {
  GgufFile f;
  f.tensors = tensors;
  f.pairs = pairs;
  return f.bytes();
}
std::string of_version(uint32_t version) {
  GgufFile f = small();
  f.version = version;
  return f.bytes();
}

const BadFile kBadHeaders[] = {
    {"empty", [] { return std::string(); }, StatusCode::kFailedPrecondition, "no GGUF file"},
    {"safetensors", [] { return safetensors("{}", ""); }, StatusCode::kFailedPrecondition, "no GGUF file"},
    {"version 1", [] { return of_version(1); }, kUnimplemented, "version 1; 2 and 3"},
    {"version 4", [] { return of_version(4); }, kUnimplemented, "version 4"},
    {"big-endian", [] { return of_version(0x03000000); }, kUnimplemented, "big-endian"},
    {"no counts", [] { return std::string("GGUF\x03\0\0\0\0", 9); }, StatusCode::kDataLoss, "ends within its counts"},
    {"tensors claimed", [] { return claims(1, 0); }, StatusCode::kDataLoss, "ends within a tensor's name"},
    {"tensors without end", [] { return claims(~uint64_t{0}, 0); }, kInvalid, "more than 2000000 tensors"},
    {"pairs claimed", [] { return claims(0, 9); }, StatusCode::kDataLoss, "ends within a metadata key"},
    {"pairs without end", [] { return claims(0, ~uint64_t{0}); }, kInvalid, "more than 65536 metadata pairs"},
};

const BadFile kBadMetadata[] = {
    {"key too long", [] { return GgufFile().u32(std::string(70000, 'k'), 1).bytes(); }, kInvalid, "at most 65535"},
    {"key twice", [] { return GgufFile().u32("k", 1).u32("k", 2).bytes(); }, kInvalid, "\"k\" is there twice"},
    {"type", [] { return GgufFile().pair("k", 13, "").bytes(); }, kInvalid, "type 13 is none of GGUF's"},
    {"boolean", [] { return GgufFile().pair("k", 7, "\x02").bytes(); }, kInvalid, "a boolean of 2"},
    {"string", [] { return GgufFile().pair("k", 8, GgufFile::raw(~uint64_t{0})).bytes(); }, kInvalid, "at most"},
    {"string cut", [] { return GgufFile().pair("k", 8, GgufFile::raw<uint64_t>(9) + "ab").bytes(); },
     StatusCode::kDataLoss, "ends within metadata \"k\""},
    {"nested", [] { return array_file(9, 1, std::string(12, '\0')); }, kUnimplemented, "array of arrays"},
    {"array cut", [] { return array_file(4, 3, std::string(8, '\0')); }, StatusCode::kDataLoss, "ends within"},
    {"array without end", [] { return array_file(0, uint64_t{1} << 40, ""); }, StatusCode::kDataLoss, "ends within"},
    {"array too long", [] { return array_file(0, 9 << 20, std::string(9 << 20, 'x')); }, kInvalid, "more than 8388608"},
    {"array's type", [] { return array_file(77, 1, "x"); }, kInvalid, "type 77"},
    {"alignment 0", [] { return GgufFile().u32("general.alignment", 0).bytes(); }, kInvalid, "a power of 2"},
    {"alignment 24", [] { return GgufFile().u32("general.alignment", 24).bytes(); }, kInvalid, "a power of 2"},
    {"alignment text", [] { return GgufFile().string("general.alignment", "32").bytes(); }, kInvalid, "a power of 2"},
};

const BadFile kBadTensors[] = {
    {"name", [] { return GgufFile().tensor(std::string(2000, 'n'), {1}, kF32, "xxxx").bytes(); }, kInvalid,
     "at most 1024"},
    {"twice", [] { return GgufFile().tensor("t", {1}, kF32, "xxxx").tensor("t", {1}, kF32, "xxxx").bytes(); }, kInvalid,
     "\"t\" is there twice"},
    {"no dimension", [] { return tensor_file({}, kF32, ""); }, kInvalid, "0 dimensions"},
    {"five dimensions",
     [] {
       return tensor_file({1, 1, 1, 1, 1}, kF32, "xxxx");
     },
     kInvalid, "5 dimensions"},
    {"a dimension of 0",
     [] {
       return tensor_file({4, 0}, kF32, "");
     },
     kInvalid, "no dimension: 0"},
    {"overflow",
     [] {
       return tensor_file({1ull << 40, 1ull << 40}, kF32, "");
     },
     kInvalid, "no dimension"},
    {"negative", [] { return tensor_file({~uint64_t{0}}, kF32, ""); }, kInvalid, "no dimension"},
    {"bytes overflow", [] { return tensor_file({1ull << 62}, kF32, ""); }, kInvalid, "no shape"},
    {"unknown type", [] { return tensor_file({1}, 99, "x"); }, kUnimplemented, "ggml type 99 is not known"},
    {"removed type", [] { return tensor_file({32}, 4, "x"); }, kUnimplemented, "ggml type 4 is not known"},
    {"cut blocks", [] { return tensor_file({33}, kQ8_0, block() + block()); }, kInvalid, "no whole blocks of Q8_0"},
    {"too short", [] { return tensor_file({64}, kQ8_0, block()); }, StatusCode::kDataLoss, "ends within tensor \"t\""},
    {"far away", [] { return GgufFile().tensor_at("t", {1}, kF32, 1ull << 63, "xxxx").bytes(); }, StatusCode::kDataLoss,
     "ends within tensor \"t\""},
    {"askew", [] { return GgufFile().tensor_at("t", {1}, kF32, 4, "xxxxxxxx").bytes(); }, kInvalid,
     "no multiple of 32"},
    {"overlap",
     [] { return GgufFile().tensor("a", {16}, kF32, std::string(64, 'x')).tensor_at("b", {1}, kF32, 32, "").bytes(); },
     kInvalid, "\"a\" and \"b\" overlap"},
};

TEST(Gguf, RefusesEveryBadFile) {
  const std::span<const BadFile> groups[] = {kBadHeaders, kBadMetadata, kBadTensors};
  for (const auto& group : groups) {
    for (const BadFile& bad : group) {
      SCOPED_TRACE(bad.what);
      const std::string file = bad.file();
      const auto status = read_gguf_header(bytes_of(file), "m.gguf", {}).status();
      EXPECT_EQ(status.code(), bad.code) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
      EXPECT_THAT(std::string(status.message()), HasSubstr("m.gguf"));
    }
  }
}

// A file cut anywhere is refused. No byte behind its end is read.
TEST(Gguf, RefusesEveryPrefix) {
  const std::string file = small().bytes();
  for (size_t n = 0; n < file.size(); ++n) {
    const std::vector<std::byte> part(bytes_of(file).begin(), bytes_of(file).begin() + static_cast<ptrdiff_t>(n));
    EXPECT_FALSE(parse_gguf(part, {}).ok()) << n;
  }
  EXPECT_TRUE(parse_gguf(bytes_of(file), {}).ok());
}

TEST(Gguf, HoldsTheLimitOfAHeader) {
  const std::string file = GgufFile().string("k", std::string(200, 'x')).bytes();
  const auto status = parse_gguf(bytes_of(file), {.header_bytes_max = 100}).status();
  EXPECT_EQ(status.code(), kInvalid);
  EXPECT_THAT(std::string(status.message()), HasSubstr("100"));
}

GgufFile qwen2moe() {
  GgufFile f;
  f.string("general.architecture", "qwen2moe").u32("qwen2moe.block_count", 2).u32("qwen2moe.context_length", 512);
  f.u32("qwen2moe.embedding_length", 64).u32("qwen2moe.attention.head_count", 4);
  f.f32("qwen2moe.attention.layer_norm_rms_epsilon", 1e-5f).u32("qwen2moe.expert_count", 8);
  f.u32("qwen2moe.expert_used_count", 2).u32("qwen2moe.expert_feed_forward_length", 32);
  f.u32("qwen2moe.expert_shared_feed_forward_length", 48).u32("tokenizer.ggml.eos_token_id", 7);
  return f;
}
GgufFile& with_embeddings(GgufFile& f) { return f.tensor("token_embd.weight", {64, 1}, kQ8_0, block() + block()); }

TEST(GgufConfig, IsWrittenInTheWordsOfConfigJson) {
  GgufFile file = qwen2moe();
  const std::string bytes = with_embeddings(file).bytes();
  const auto files = parse_gguf(bytes_of(bytes), {});
  ASSERT_TRUE(files.ok()) << files.status();
  const auto config = (*files)->config();
  ASSERT_TRUE(config.ok()) << config.status();
  base::JsonReader j(*config);
  EXPECT_EQ(j.strings("architectures"), std::vector<std::string>{"Qwen2MoeForCausalLM"});
  const std::pair<const char*, int> numbers[] = {{"num_hidden_layers", 2},
                                                 {"hidden_size", 64},
                                                 {"num_attention_heads", 4},
                                                 {"num_experts", 8},
                                                 {"num_experts_per_tok", 2},
                                                 {"moe_intermediate_size", 32},
                                                 {"vocab_size", 1},
                                                 {"shared_expert_intermediate_size", 48},
                                                 {"max_position_embeddings", 512}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(j.i(key), value) << key;
  EXPECT_EQ(static_cast<float>(j.f("rms_norm_eps")), 1e-5f);
  EXPECT_TRUE(j.b("tie_word_embeddings"));  // there is no output.weight
  EXPECT_FALSE(j.b("qkv_bias"));
  EXPECT_EQ(j.s("dtype"), "bfloat16");  // most of it is packed
  EXPECT_EQ(j.ints("eos_token_id"), std::vector<int>{7});
  EXPECT_TRUE(j.status().ok()) << j.status();
  EXPECT_EQ((*files)->generation_config().status().code(), StatusCode::kNotFound);
  EXPECT_TRUE((*files)->tokenizer_source().gguf());
}

TEST(GgufConfig, RefusesWhatItDoesNotKnow) {
  const std::tuple<const char*, std::function<void(GgufFile&)>, StatusCode, const char*> cases[] = {
      {"a key", [](GgufFile& f) { with_embeddings(f).u32("qwen2moe.expert_heads", 2); }, kUnimplemented,
       "\"qwen2moe.expert_heads\" is not known"},
      {"scaling", [](GgufFile& f) { with_embeddings(f).string("qwen2moe.rope.scaling.type", "su"); }, kInvalid,
       "qwen2moe.rope.scaling.type: must be none, linear, yarn or longrope"},
      {"gating", [](GgufFile& f) { with_embeddings(f).u32("qwen2moe.expert_gating_func", 2); }, kUnimplemented,
       "qwen2moe.expert_gating_func is 2, not 1"},
      {"a string", [](GgufFile& f) { with_embeddings(f).string("qwen2moe.nextn_predict_layers", "1"); }, kInvalid,
       "qwen2moe.nextn_predict_layers: must be a number"},
      {"too many", [](GgufFile& f) { with_embeddings(f).u32("qwen2moe.nextn_predict_layers", 2); }, kInvalid,
       "qwen2moe.nextn_predict_layers: is out of range"},
      {"not causal", [](GgufFile& f) { with_embeddings(f).pair("qwen2moe.attention.causal", 7, std::string(1, '\0')); },
       kUnimplemented, "qwen2moe.attention.causal is false"},
      {"layers that differ",
       [](GgufFile& f) {
         with_embeddings(f).pair("qwen2moe.feed_forward_length", 9,
                                 GgufFile::raw<uint32_t>(4) + GgufFile::raw<uint64_t>(2) + GgufFile::raw<uint32_t>(8) +
                                     GgufFile::raw<uint32_t>(16));
       },
       kUnimplemented, "qwen2moe.feed_forward_length differs between layers"},
      {"factors of a type", [](GgufFile& f) { with_embeddings(f).tensor("rope_freqs.weight", {32}, kQ8_0, block()); },
       kInvalid, "\"rope_freqs.weight\": must be F32"},
      {"part of a head", [](GgufFile& f) { with_embeddings(f).u32("qwen2moe.rope.dimension_count", 8); },
       kUnimplemented, "not the width of a head, 16"},
      {"no embeddings", [](GgufFile&) {}, kInvalid, "\"token_embd.weight\" is missing"},
  };
  for (const auto& [what, change, code, message] : cases) {
    GgufFile file = qwen2moe();
    change(file);
    const std::string bytes = file.bytes();
    const auto status = (*parse_gguf(bytes_of(bytes), {}))->config().status();
    EXPECT_EQ(status.code(), code) << what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  const std::pair<const char*, const char*> names[] = {
      {"mamba", "\"mamba\" is not known; known are: afmoe, bailingmoe"},
      {"qwen3next", "\"qwen3next\" is not built yet"}};
  for (const auto& [name, message] : names) {
    const std::string other = GgufFile().string("general.architecture", name).bytes();
    const auto unknown = (*parse_gguf(bytes_of(other), {}))->config().status();
    EXPECT_EQ(unknown.code(), kUnimplemented);
    EXPECT_THAT(std::string(unknown.message()), HasSubstr(message));
  }
  const std::string bare = GgufFile().string("general.architecture", "qwen2moe").bytes();
  EXPECT_THAT(std::string((*parse_gguf(bytes_of(bare), {}))->config().status().message()),
              HasSubstr("qwen2moe.block_count: missing"));
}

TEST(ModelFiles, AreADirectoryOrAGgufFile) {
  TemporaryDirectory directory;
  directory.write("m.gguf", small().bytes());
  directory.write("model/config.json", R"({"a": 1})");
  directory.write("model/generation_config.json", R"({"b": 2})");
  directory.write("several/x.gguf", small().bytes());
  directory.write("several/y.gguf", small().bytes());
  directory.write("one/x.gguf", small().bytes());
  directory.write("one/mmproj-x.gguf", "none");
  const auto gguf = open_model_files(directory.at("m.gguf"));
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ((*gguf)->path(), directory.at("m.gguf"));
  const auto checkpoint = (*gguf)->open_checkpoint();
  ASSERT_TRUE(checkpoint.ok());
  (*checkpoint)->prefetch("a");
  (*checkpoint)->release("a");
  EXPECT_EQ(std::memcmp((*checkpoint)->read("a", {2, 32})->data, block().data(), 34), 0);
  const auto model = *open_model_files(directory.at("model"));
  EXPECT_EQ(model->config()->at("a"), 1);
  EXPECT_EQ(model->generation_config()->at("b"), 2);
  EXPECT_EQ(model->tokenizer_source().directory, directory.at("model"));
  EXPECT_EQ(model->open_checkpoint().status().code(), StatusCode::kNotFound);
  const auto several = (*open_model_files(directory.at("several")))->config().status();
  EXPECT_THAT(std::string(several.message()), HasSubstr("name one of its files instead: \"x.gguf\", \"y.gguf\""));
  EXPECT_EQ((*open_model_files(directory.at("one")))->path(), directory.at("one/x.gguf"));
  EXPECT_EQ(open_model_files(directory.at("model"), /*gguf=*/true).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(open_model_files(directory.at("several"), /*gguf=*/true).status().code(), kInvalid);
  EXPECT_EQ(open_model_files(directory.at("absent.gguf")).status().code(), StatusCode::kNotFound);
}

GgufFile part(uint32_t number, uint32_t count, std::string_view tensor) {
  GgufFile f;
  f.pair("split.no", 2, GgufFile::raw(static_cast<uint16_t>(number)));
  f.pair("split.count", 2, GgufFile::raw(static_cast<uint16_t>(count)));
  return f.tensor(tensor, {4}, kF32, std::string(16, static_cast<char>('a' + number)));
}

TEST(ModelFiles, OfASplitFileAreAllItsParts) {
  TemporaryDirectory directory;
  directory.write("m-00001-of-00002.gguf", part(0, 2, "first").string("general.architecture", "x").bytes());
  directory.write("m-00002-of-00002.gguf", part(1, 2, "second").bytes());
  for (const char* name : {"", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const auto files = open_model_files(*name == '\0' ? directory.path() : directory.at(name));
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ((*files)->path(), directory.at("m-00001-of-00002.gguf"));
    const auto checkpoint = *(*files)->open_checkpoint();
    EXPECT_EQ(static_cast<char>(checkpoint->read("first", {4})->data[0]), 'a');
    EXPECT_EQ(static_cast<char>(checkpoint->read("second", {4})->data[3]), 'b');
  }
  const std::pair<GgufFile, const char*> bad[] = {{part(0, 2, "second"), "split.no: must be 1"},
                                                  {part(1, 3, "second"), "split.count: is 3, but there are 2 parts"},
                                                  {small(), "split.count: is 1"}};
  for (const auto& [file, message] : bad) {
    directory.write("m-00002-of-00002.gguf", file.bytes());
    EXPECT_THAT(std::string(open_gguf(directory.at("m-00001-of-00002.gguf")).status().message()), HasSubstr(message));
  }
  directory.write("m-00002-of-00002.gguf", part(1, 2, "first").bytes());
  const auto twice = (*open_gguf(directory.at("m-00001-of-00002.gguf")))->open_checkpoint().status();
  EXPECT_THAT(std::string(twice.message()), HasSubstr("tensor \"first\" is both in"));
  directory.write("n-00001-of-00002.gguf", part(0, 2, "first").bytes());
  EXPECT_EQ(open_gguf(directory.at("n-00001-of-00002.gguf")).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace polymath::weights
