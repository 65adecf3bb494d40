// Translators by least squares of reduced rank (Izenman, 1975), in float64.
//
// Thread rule: belongs to one thread.
#pragma once

#include "calibration/translator_options.h"

namespace ingot::calibration {

// InvalidArgument for examples that are not finite, or none that are learned from or held out.
Result<TrainedTranslator> TrainTranslator(const TranslatorExamples& examples, std::size_t rank);

}  // namespace ingot::calibration
