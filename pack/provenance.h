// What an artifact tells of its origin, and what identifies a pack so that a killed one can resume.
// Nothing here depends on the machine: no times, host names or absolute paths.
//
// The source digest is made so that slabs may be digested in any order, and can be recomputed from
// any copy of the checkpoint:
//   slab digest   = BLAKE3(source bytes of the slab's rows)
//   source digest = BLAKE3 of, for each tensor in the manifest's order, the line
//                   "NAME DTYPE ROWSxCOLS SLABROWS HEX HEX ...\n" with its slab digests
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "pack/plan.h"

namespace ingot::pack {

// The provenance object without the source digest, which is known once everything was read.
Result<Json> MakeProvenance(const model::Checkpoint& checkpoint, const PackPlan& plan,
                            const std::string& tool);

// Digest, in hexadecimal, of everything that decides the artifact's bytes, standing for the
// source's content by its files' names, sizes and modification times.
Result<std::string> Fingerprint(const model::Checkpoint& checkpoint, const PackPlan& plan,
                                const Json& provenance);

// One tensor's line of the source digest. slab_digests: hexadecimal, in slab order.
std::string SourceLine(const PlannedTensor& tensor, const std::vector<std::string>& slab_digests);

}  // namespace ingot::pack
