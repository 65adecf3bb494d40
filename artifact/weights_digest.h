// What a model computes with, by the digests that its file has of it: what was trained on an
// artifact's weights is of no use over others.
//
// Thread rule: a pure function.
#pragma once

#include <string>
#include <string_view>

#include "artifact/reader.h"
#include "base/status.h"

namespace ingot::artifact {

// "blake3:..." over the names, shapes and planes of all tensors but those that belong to exits or
// token classes, and the digests of their stored chunks: the same in any file that was made of this
// one by adding, replacing or leaving out the latter. Reads nothing.
std::string WeightsDigest(const ArtifactReader& reader);

// InvalidArgument where `said`, an object of the provenance, names another digest of weights than
// these have; none is as good as the right one. `what` was learned from them: "routers".
Status CheckLearnedFrom(const ArtifactReader& reader, const Json& said, std::string_view what);
inline constexpr std::string_view kWeightsDigest = "weights_digest";

}  // namespace ingot::artifact
