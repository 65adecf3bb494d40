// What `ingot analyze` found, as a picture that needs nothing else: an SVG, or a page with the
// text, the SVG and a table.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jobs/analyze_job.h"

namespace ingot::cli {

// Tracks over the tokens, some dozens a band: importance and class, exit, draft, divergence.
std::string AnalysisSvg(const jobs::AnalyzeJobResult& result);
// `title`: what was analyzed, for people.
std::string AnalysisHtml(const jobs::AnalyzeJobResult& result, const std::string& title);

// Tokens by class, those whose class the probe moved, mean divergences, ...: lines for people.
std::vector<std::pair<std::string, std::string>> AnalysisSummary(
    const jobs::AnalyzeJobResult& result);

}  // namespace ingot::cli
