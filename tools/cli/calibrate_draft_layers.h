// `ingot calibrate --draft-layers`: which layers an artifact's drafts leave out.
//
// Thread rule: belongs to the main thread.
#pragma once

#include <string>

namespace ingot::cli {

int DraftLayersMain(int argc, char** argv, const std::string& tool);

}  // namespace ingot::cli
