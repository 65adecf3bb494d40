#include "artifact/manifest.h"

#include <gtest/gtest.h>

#include "artifact/manifest_checks.h"

namespace ingot::artifact {
namespace {

Json Valid() {
  return Json::parse(R"({"assets":[{"bytes":4,"chunk_count":1,"first_chunk":0,"name":"a.json"}],
    "config":{"model_type":"llama"},"provenance":{},"tensors":[{"codec":"int4_rtn","dtype":"bf16",
    "extra":{},"layer":-1,"name":"t","planes":[
      {"attributes":{"bits":4},"kind":"int","level":0,"streams":[
        {"bytes":8,"chunk_count":2,"first_chunk":1,"name":"codes"},
        {"bytes":0,"chunk_count":0,"first_chunk":3,"name":"none"}]},
      {"attributes":{},"kind":"int","level":1,"streams":[
        {"bytes":1,"chunk_count":1,"first_chunk":3,"name":"codes"}]}],
    "role":"linear","shape":[2,2]}]})");
}

Status Parse(const Json& json) { return ParseManifest(json.dump(), 4).status(); }

TEST(Manifest, RoundTripsCanonically) {
  const auto manifest = ParseManifest(Valid().dump(), 4);
  ASSERT_TRUE(manifest.ok()) << manifest.status().message();
  EXPECT_EQ(SerializeManifest(*manifest), Valid().dump());
  EXPECT_EQ(manifest->tensors[0].planes[0].attributes["bits"], 4);
  EXPECT_EQ(manifest->assets[0].name, "a.json");
}

TEST(Manifest, UnknownFieldsAreRefusedUnlessMarkedOptional) {
  Json json = Valid();
  json["x_note"] = {1, 2};
  json["tensors"][0]["x_hint"] = "later";
  json["tensors"][0]["planes"][0]["streams"][0]["x_a"] = nullptr;
  EXPECT_TRUE(Parse(json).ok()) << Parse(json).message();
  json["tensors"][0]["scheme"] = 1;
  EXPECT_EQ(Parse(json).code(), StatusCode::kUnsupported);
  EXPECT_NE(Parse(json).message().find("'scheme'"), std::string::npos);
}

// Valid() with what minor version 1 added: a base, and an exit with its three tensors.
Json WithAdditions() {
  Json json = Valid();
  const auto add = [&](const char* name, const char* role, Json shape) {
    Json tensor = json["tensors"][0];
    tensor["name"] = name;
    tensor["role"] = role;
    tensor["shape"] = std::move(shape);
    for (Json& plane : tensor["planes"])
      for (Json& stream : plane["streams"])
        stream["bytes"] = stream["chunk_count"] = 0, stream["first_chunk"] = 3;
    tensor["planes"].erase(1);
    json["tensors"].push_back(std::move(tensor));
  };
  add("exit.norm", "vector", {6});
  add("exit.up", "router", {4, 6});
  add("exit.down", "router", {1, 4});
  json["base"] = {{"root", std::string(64, 'a')}};
  json["x_exits"] = {
      {{"layer", 3}, {"norm", "exit.norm"}, {"up", "exit.up"}, {"down", "exit.down"}}};
  return json;
}

TEST(Manifest, AdditionsRoundTripAndRaiseTheMinorVersion) {
  const auto plain = ParseManifest(Valid().dump(), 4);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(MinorVersion(*plain), 0);
  const Json json = WithAdditions();
  const auto manifest = ParseManifest(json.dump(), 4);
  ASSERT_TRUE(manifest.ok()) << manifest.status().message();
  EXPECT_EQ(SerializeManifest(*manifest), json.dump());
  EXPECT_EQ(MinorVersion(*manifest), 1);
  EXPECT_EQ(manifest->base_root, std::string(64, 'a'));
  ASSERT_EQ(manifest->exits.size(), 1u);
  EXPECT_EQ(manifest->exits[0].layer, 3);
  EXPECT_EQ(manifest->exits[0].up, "exit.up");
  Manifest one = *plain;
  one.base_root = manifest->base_root;
  EXPECT_EQ(MinorVersion(one), 1);
  one = *plain;
  one.tensors[0].role = "shared";
  EXPECT_EQ(MinorVersion(one), 1);
}

TEST(Manifest, ExitsAreCheckedAgainstTheTensors) {
  struct Case {
    const char* at;
    Json value;
    const char* reason;
  };
  for (const Case& c : {Case{"/x_exits", Json::object(), "'x_exits' is not an array"},
                        {"/x_exits/0", 7, "not an object"},
                        {"/x_exits/0/layer", -1, "'layer'"},
                        {"/x_exits/0/norm", "none", "norm: no such tensor"},
                        {"/x_exits/0/norm", "exit.down", "norm: tensor exit.down is 1x4"},
                        {"/x_exits/0/up", "none", "up: no matrix named 'none'"},
                        {"/x_exits/0/up", "exit.norm", "up: no matrix"},
                        {"/x_exits/0/up", std::string(5000, 'n'), "up: no matrix"},
                        {"/x_exits/0/down", "exit.up", "the exit needs 1x4"},
                        {"/x_exits/0/down", nullptr, "'down' is not a string"},
                        {"/tensors/2/role", "linear", "role linear"},
                        {"/tensors/3/role", "linear", "role linear"},
                        {"/tensors/2/shape", {4, 5}, "the exit needs 5"},
                        {"/base", "aa", "'base' is not an object"},
                        {"/base/root", std::string(63, 'a'), "64 lower-case"},
                        {"/base/root", std::string(64, 'A'), "64 lower-case"},
                        {"/base/root", 5, "'root' is not a string"}}) {
    Json json = WithAdditions();
    json[Json::json_pointer(c.at)] = c.value;
    const Status status = Parse(json);
    EXPECT_EQ(status.code(), StatusCode::kCorruption) << c.at << " = " << c.value.dump();
    EXPECT_NE(status.message().find(c.reason), std::string::npos) << status.message();
    EXPECT_LT(status.message().size(), 1200u);
  }
  Json json = WithAdditions();
  json["x_exits"].push_back(json["x_exits"][0]);
  EXPECT_NE(Parse(json).message().find("layers ascend"), std::string::npos);
  for (const char* field : {"layer", "norm", "up", "down"}) {
    json = WithAdditions();
    json["x_exits"][0].erase(field);
    EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption) << field;
  }
  json = WithAdditions();
  json["base"].erase("root");
  EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption);
  // Fields of a later minor, inside what this one added.
  json = WithAdditions();
  json["x_exits"][0]["x_threshold"] = 0.5;
  EXPECT_TRUE(Parse(json).ok()) << Parse(json).message();
  json["x_exits"][0]["gate"] = "t";
  EXPECT_EQ(Parse(json).code(), StatusCode::kUnsupported);
}

TEST(Manifest, DraftLayersRoundTripAndAreChecked) {
  Json json = Valid();
  json["x_draft_layers"] = {3, 4, 9};
  const auto manifest = ParseManifest(json.dump(), 4);
  ASSERT_TRUE(manifest.ok()) << manifest.status().message();
  EXPECT_EQ(manifest->draft_layers, (std::vector<int>{3, 4, 9}));
  EXPECT_EQ(SerializeManifest(*manifest), json.dump());
  EXPECT_EQ(MinorVersion(*manifest), 2);
  const auto refusal = [&](Json value) {
    json["x_draft_layers"] = std::move(value);
    EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption) << json["x_draft_layers"];
    return Parse(json).message();
  };
  EXPECT_NE(refusal({0, 1}).find("the first is run"), std::string::npos);
  EXPECT_NE(refusal({4, 4}).find("layer 4 after layer 4"), std::string::npos);
  EXPECT_NE(refusal({5, 4}).find("layers ascend"), std::string::npos);
  EXPECT_NE(refusal({-1}).find("x_draft_layers"), std::string::npos);
  EXPECT_NE(refusal({"1"}).find("x_draft_layers"), std::string::npos);
  EXPECT_NE(refusal({1.5}).find("x_draft_layers"), std::string::npos);
  EXPECT_NE(refusal({std::uint64_t{1} << 31}).find("x_draft_layers"), std::string::npos);
  EXPECT_NE(refusal(Json::object()).find("'x_draft_layers' is not an array"), std::string::npos);
}

TEST(Manifest, EveryFieldIsRequiredAndTyped) {
  const auto walk = [](auto&& self, const Json& node, const Json::json_pointer& at) -> void {
    if (at == Json::json_pointer("/config") || at == Json::json_pointer("/provenance") ||
        (!at.empty() && (at.back() == "attributes" || at.back() == "extra")))
      return;
    for (const auto& item : node.items()) {
      const auto below = node.is_array() ? at / std::stoul(item.key()) : at / item.key();
      if (node.is_object()) {
        Json json = Valid();
        json[at].erase(item.key());
        EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption) << below.to_string();
        for (const Json& other : {Json(nullptr), Json(1.5), Json(-7), Json(true)}) {
          json = Valid();
          json[below] = other;
          EXPECT_FALSE(Parse(json).ok()) << below.to_string() << " = " << other.dump();
        }
      }
      if (item.value().is_structured()) self(self, item.value(), below);
    }
  };
  const Json valid = Valid();
  walk(walk, valid, Json::json_pointer());
}

TEST(Manifest, HostileValuesAreRefused) {
  struct Case {
    const char* at;
    Json value;
  };
  const std::uint64_t big = std::uint64_t{1} << 33;
  for (const Case& c : {Case{"/tensors/0/shape", {big, big}},
                        {"/tensors/0/shape", {0, 4}},
                        {"/tensors/0/shape", {-1}},
                        {"/tensors/0/shape", {1e300}},
                        {"/tensors/0/shape", {18446744073709551615u}},
                        {"/tensors/0/shape", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        {"/tensors/0/name", ""},
                        {"/tensors/0/name", "a\nb"},
                        {"/tensors/0/name", "a\x7f"},
                        {"/tensors/0/name", "\xc2\x85"},
                        {"/tensors/0/name", std::string(2000, 'a')},
                        {"/tensors/0/layer", -2},
                        {"/tensors/0/layer", 18446744073709551615u},
                        {"/tensors/0/planes", Json::array()},
                        {"/tensors/0/planes/0/level", 1},
                        {"/tensors/0/planes/1/level", 64},
                        {"/tensors/0/planes/0/streams/1/name", "codes"},
                        {"/tensors/0/planes/0/streams/0/first_chunk", 0},
                        {"/tensors/0/planes/0/streams/0/first_chunk", 2},
                        {"/tensors/0/planes/0/streams/0/chunk_count", 1},
                        {"/tensors/0/planes/0/streams/0/chunk_count", 4294967295u},
                        {"/tensors/0/planes/0/streams/0/chunk_count", big},
                        {"/tensors/0/planes/0/streams/0/bytes", 1},
                        {"/tensors/0/planes/0/streams/0/bytes", 9000000},
                        {"/tensors/0/planes/0/streams/1/bytes", 1},
                        {"/assets/0/name", "../a.json"},
                        {"/assets/0/name", "/etc/passwd"},
                        {"/assets/0/name", "..\\a"},
                        {"/assets/0/name", "C:a"},
                        {"/assets/0/name", ".hidden"},
                        {"/assets/0/name", ".."}}) {
    Json json = Valid();
    json[Json::json_pointer(c.at)] = c.value;
    EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption) << c.at << " = " << c.value.dump();
  }
}

TEST(Manifest, DuplicatesAreRefused) {
  Json json = Valid();
  json["tensors"].push_back(json["tensors"][0]);
  EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption);
  json = Valid();
  json["assets"].push_back(json["assets"][0]);
  EXPECT_EQ(Parse(json).code(), StatusCode::kCorruption);
  EXPECT_EQ(
      ParseManifest(R"({"assets":[],"assets":[],"config":{},"provenance":{},"tensors":[]})", 0)
          .status()
          .code(),
      StatusCode::kCorruption);
}

TEST(Manifest, NestingIsBounded) {
  const auto nested = [](int depth) {
    return R"({"assets":[],"config":{"a":)" + std::string(depth, '[') + std::string(depth, ']') +
           R"(},"provenance":{},"tensors":[]})";
  };
  EXPECT_TRUE(ParseManifest(nested(60), 0).ok());
  EXPECT_EQ(ParseManifest(nested(63), 0).status().code(), StatusCode::kCorruption);
  EXPECT_EQ(ParseManifest(nested(10'000'000), 0).status().code(), StatusCode::kCorruption);
}

TEST(Manifest, TextThatIsNotJsonIsRefusedAtEveryCut) {
  const std::string text = Valid().dump();
  for (std::size_t n = 0; n < text.size(); ++n)
    EXPECT_EQ(ParseManifest(text.substr(0, n), 4).status().code(), StatusCode::kCorruption) << n;
  EXPECT_FALSE(ParseManifest(text + "x", 4).ok());
  EXPECT_FALSE(ParseManifest("\"\xff\"", 0).ok());
}

TEST(Manifest, Utf8NamesAreCheckedByTheUnicodeTable) {
  for (const char* good : {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(CheckName(good).ok()) << good;
  for (const char* bad :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"})
    EXPECT_FALSE(CheckName(bad).ok());
}

}  // namespace
}  // namespace ingot::artifact
