#include "model/source/model_location.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "artifact/format.h"
#include "base/bytes.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

// Sets a variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old, had_ = true;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (had_)
      ::setenv(name_, old_.c_str(), 1);
    else
      ::unsetenv(name_);
  }

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};

std::string Located(const std::string& model) {
  const auto path = LocateModel(model);
  return path.ok() ? *path : "error: " + std::string(path.status().message());
}

TEST(ModelLocation, FilesOfAFolderMeanTheFolder) {
  const TestDirectory dir;
  const auto at = [&](const char* name) { return dir.path() + "/" + name; };
  dir.Write("model.safetensors", "x");
  EXPECT_EQ(Located(at("model.safetensors")), at("model.safetensors"));  // no config.json yet
  dir.Write("config.json", "{}");
  dir.Write("other.safetensors", "x");
  dir.Write("model-00001-of-00002.safetensors", "x");
  for (const char* name : {"model.safetensors", "config.json"})
    EXPECT_EQ(Located(at(name)), dir.path()) << name;
  for (const char* name : {"other.safetensors", "model-00001-of-00002.safetensors"})
    EXPECT_EQ(Located(at(name)), at(name)) << name;
  dir.Write("model.safetensors.index.json", "{}");
  EXPECT_EQ(Located(at("model-00001-of-00002.safetensors")), dir.path());
  EXPECT_EQ(Located(dir.path()), dir.path());
}

TEST(ModelLocation, TheHubsCache) {
  const TestDirectory dir;
  const Variable cache("HF_HUB_CACHE", dir.path());
  const std::string entry = dir.path() + "/models--org--name";
  EXPECT_EQ(
      Located("org/name"),
      "error: org/name: no such file or directory, and no models--org--name in the Hub's cache " +
          dir.path() + "; nothing is downloaded here: fetch the model first and give its folder");
  fs::create_directories(entry + "/snapshots");
  EXPECT_EQ(Located("org/name"), "error: " + entry +
                                     ": a model of the Hub's cache without a snapshot; fetch it "
                                     "again");
  fs::create_directories(entry + "/snapshots/one");
  EXPECT_EQ(Located("org/name"), entry + "/snapshots/one");
  EXPECT_EQ(Located(entry), entry + "/snapshots/one");
  EXPECT_EQ(Located(entry + "/"), entry + "/snapshots/one");
  fs::create_directories(entry + "/snapshots/two");
  fs::create_directories(entry + "/refs");
  dir.Write("models--org--name/refs/main", "two\n");
  EXPECT_EQ(Located("org/name"), entry + "/snapshots/two");
  for (const char* reference : {"three", "../../..", ""}) {
    dir.Write("models--org--name/refs/main", reference);
    EXPECT_EQ(Located("org/name").find("error: " + entry + ": 2 snapshots"), 0u) << reference;
  }
  for (const char* path : {"/no/such/path", "../no", "a/b/c", "no such model", "-x/y"})
    EXPECT_EQ(Located(path), std::string("error: ") + path + ": no such file or directory");
}

TEST(ModelLocation, FilesThatAreSomethingElse) {
  const TestDirectory dir;
  const std::string file = dir.path() + "/f";
  dir.Write("f", std::string(reinterpret_cast<const char*>(artifact::kMagic.data()),
                             artifact::kMagic.size()) +
                     "rest");
  EXPECT_EQ(CheckIsNoArtifact(file).message(),
            file +
                ": is an Ingot artifact already, a packed model; give the model that it was made "
                "from");
  EXPECT_TRUE(CheckIsNoPointer(file).ok());
  dir.Write("f", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 77\n");
  EXPECT_EQ(CheckIsNoPointer(file).message(),
            file +
                ": is a Git LFS pointer, not the file itself of 77 bytes; fetch it with 'git lfs "
                "pull'");
  dir.Write("f", "version https://git-lfs.github.com/spec/v1\nsize ");
  EXPECT_EQ(CheckIsNoPointer(file).code(), StatusCode::kCorruption);
  EXPECT_TRUE(CheckIsNoArtifact(file).ok());
  for (const char* text : {"", "version", "\x89ING"}) {
    dir.Write("f", text);
    EXPECT_TRUE(CheckIsNoPointer(file).ok() && CheckIsNoArtifact(file).ok());
  }
  EXPECT_TRUE(CheckIsNoPointer(dir.path()).ok());
}

TEST(ModelLocation, Adapters) {
  const TestDirectory dir;
  EXPECT_TRUE(CheckIsNoAdapter(dir.path()).ok());
  dir.Write("adapter_config.json", R"({"base_model_name_or_path":"org/base"})");
  EXPECT_NE(CheckIsNoAdapter(dir.path()).message().find("merge it into 'org/base' first"),
            std::string::npos);
  dir.Write("adapter_config.json", "{");
  EXPECT_NE(CheckIsNoAdapter(dir.path()).message().find("merge it into its base model first"),
            std::string::npos);
  dir.Write("config.json", "{}");  // a model with its adapter beside it
  EXPECT_TRUE(CheckIsNoAdapter(dir.path()).ok());
}

}  // namespace
}  // namespace ingot::model
