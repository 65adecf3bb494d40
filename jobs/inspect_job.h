// What a path that may be an artifact or a source model is, for looking at it and for comparing.
//
// Thread rule: functions without state.
#pragma once

#include <memory>
#include <string>

#include "artifact/reader.h"
#include "base/status.h"
#include "inspect/summary.h"
#include "model/source/checkpoint.h"

namespace ingot::jobs {

// A directory, or a file of weights that is no artifact.
bool IsSource(const std::string& path);

// An artifact opened to be looked at: cut short or a delta, it opens, too. "-": from standard
// input, whose chunks are checked as they come and not kept. Errors of ArtifactReader::Open.
Result<std::unique_ptr<artifact::ArtifactReader>> OpenToInspect(const std::string& path,
                                                                const artifact::VerifyingKey* key);

// A source's tensors as an artifact's would be summed up: a codec is the type that the file has.
// Those without a use have the role "unused".
Result<inspect::Summary> SummaryOfSource(const model::Checkpoint& checkpoint);

// Either of them. `key` is for artifacts; InvalidArgument where a source is given with one.
Result<inspect::Summary> SummaryOf(const std::string& path, const artifact::VerifyingKey* key);

}  // namespace ingot::jobs
