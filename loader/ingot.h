// Ingot's public C++ API: open a model, turn text into ids, run them to logits, generate.
//
//   auto model = ingot::loader::Model::Open("m.ingot");        // or a HF directory, or a .gguf
//   ingot::loader::Session session(*model);
//   ingot::loader::Generate(session, "Once upon", {}, [](std::string_view s) { ...; return true;
//   });
//
// tools/examples/generate.cc is a whole program. Link ingot_loader.
#pragma once

#include "artifact/signature.h"    // VerifyingKey
#include "base/parallel.h"         // SetThreads
#include "loader/eval/evaluate.h"  // Evaluate
#include "loader/fill_mask.h"      // FillMasks
#include "loader/generate.h"       // Generate
#include "loader/loaded_model.h"   // Model
#include "loader/refinement.h"     // Refinement
#include "loader/sampler.h"        // SamplerOptions
#include "loader/session.h"        // Session
