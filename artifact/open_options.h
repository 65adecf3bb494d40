// What a caller demands of an artifact, or allows, when it is opened.
#pragma once

namespace ingot::artifact {

class VerifyingKey;

struct OpenOptions {
  // With a key: Untrusted unless one signature is by it. Without: a signature that does not verify
  // under the key it carries is still Untrusted; absence of any is not an error.
  const VerifyingKey* key = nullptr;
  // A file cut short opens with the levels it has.
  bool allow_truncated = false;
  // Only where it ends with one of them: a part of a level is damage.
  bool whole_levels = false;
  // A delta opens without its base. What it holds is not a model.
  bool allow_delta = false;
  // Chunks that come from a pipe are kept, to be read. Else they are checked as they come and
  // dropped: the reader tells what the artifact is, and ReadStream is Unsupported.
  bool keep_piped = true;
  // A pipe opens as soon as its coarsest level is there; ArtifactReader::ReadRest reads the others.
  bool early = false;
};

}  // namespace ingot::artifact
