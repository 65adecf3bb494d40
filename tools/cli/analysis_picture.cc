#include "tools/cli/analysis_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using jobs::AnalyzedToken;
using jobs::AnalyzeJobResult;

constexpr std::size_t kAcross = 40;  // tokens of a band
constexpr double kCell = 22, kLeft = 132, kTop = 92, kTrack = 46, kGap = 12, kLabelSize = 11;
// From few planes to all: light to dark, told apart without colour, too.
constexpr std::array kClassColours = {"#cfe3f3", "#7fb2d9", "#2f77b4", "#123d66"};
constexpr const char* kExitColour = "#2a9d4a";
constexpr const char* kDraftColour = "#8e6bb0";
constexpr const char* kKlColour = "#c0392b";
// Divergences are drawn by their logarithm, between these.
constexpr double kLeastKl = 1e-5, kMostKl = 10;

// A token's text where its spaces and line ends must be seen.
std::string Shown(const std::string& text) {
  std::string marked;
  for (const char c : text) {
    if (c == ' ')
      marked += "\u00b7";
    else if (c == '\n')
      marked += "\u23ce";
    else if (c == '\t')
      marked += "\u2192";
    else
      marked += c;
  }
  return untrusted::Printable(marked);
}

std::string Short(const std::string& text) {
  std::size_t characters = 0, end = 0;
  for (; end < text.size() && characters < 12; ++end)
    if (end + 1 == text.size() || (text[end + 1] & 0xC0) != 0x80) ++characters;
  return end < text.size() ? text.substr(0, end) + "\u2026" : text;
}

double KlHeight(double kl) {
  const double place = std::log(std::max(kl, kLeastKl) / kLeastKl) / std::log(kMostKl / kLeastKl);
  return kTrack * std::clamp(place, 0.0, 1.0);
}

// One row of the picture: what stands left of it, and what it draws of a token in its cell.
struct Track {
  std::string name, scale;
  std::function<std::string(const AnalyzedToken&, double x, double bottom)> draw;
};

std::string Bar(double x, double bottom, double height, const std::string& colour,
                const std::string& title, double part = 1, double shift = 0) {
  return fmt::format(
      R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>)",
      x + 2 + shift * (kCell - 4), bottom - height, (kCell - 4) * part, std::max(height, 0.7),
      colour, untrusted::EscapeHtml(title));
}

std::string ClassBars(const AnalyzedToken& token, double x, double bottom) {
  if (!token.precision) return {};
  const AnalyzedToken::Class& c = *token.precision;
  return Bar(x, bottom, kTrack * c.importance, kClassColours[c.below],
             fmt::format("importance {:.2f} before the step: class {}", c.importance, c.below),
             .5) +
         Bar(x, bottom, kTrack * c.probed_importance, kClassColours[c.above],
             fmt::format("importance {:.2f} by the state: class {}", c.probed_importance, c.above),
             .5, .5);
}

std::string DraftMark(const AnalyzedToken& token, double x, double bottom) {
  if (!token.draft) return {};
  const std::string title =
      fmt::format("draft {}, sure by {:.2f}", token.draft->accepted ? "accepted" : "rejected",
                  token.draft->probability);
  const double y = bottom - 7 - (kTrack - 14) * token.draft->probability;
  if (token.draft->accepted)
    return fmt::format(
        R"(<circle cx="{:.1f}" cy="{:.1f}" r="5" fill="{}"><title>{}</title></circle>)",
        x + kCell / 2, y, kDraftColour, title);
  return fmt::format(
      R"(<path d="M{:.1f} {:.1f}l8 8m0 -8l-8 8" stroke="{}" stroke-width="2"><title>{}</title></path>)",
      x + kCell / 2 - 4, y - 4, kKlColour, title);
}

std::string KlBars(const AnalyzedToken& token, double x, double bottom) {
  struct Of {
    const char *what, *colour;
    double kl;
  };
  std::vector<Of> of;
  if (token.precision) of.push_back({"with its classes", kKlColour, token.precision->kl});
  if (token.exit) of.push_back({"with its exit", kExitColour, token.exit->kl});
  if (token.draft) of.push_back({"of the draft", kDraftColour, token.draft->kl});
  std::string out;
  const double part = 1.0 / static_cast<double>(std::max<std::size_t>(of.size(), 1));
  for (std::size_t i = 0; i < of.size(); ++i)
    out += Bar(x, bottom, KlHeight(of[i].kl), of[i].colour,
               fmt::format("KL {}: {:.4g} nats", of[i].what, of[i].kl), part,
               part * static_cast<double>(i));
  return out;
}

std::vector<Track> TracksOf(const AnalyzeJobResult& result) {
  std::vector<Track> tracks;
  const auto any = [&](auto has) { return std::ranges::any_of(result.tokens, has); };
  if (any([](const AnalyzedToken& t) { return t.precision.has_value(); }))
    tracks.push_back({"importance", "0 to 1; by class", ClassBars});
  tracks.push_back({"entropy", "nats, to 8", [](const AnalyzedToken& t, double x, double bottom) {
                      return Bar(x, bottom, kTrack * std::min(t.entropy / 8, 1.0), "#8d8d8d",
                                 fmt::format("entropy after it: {:.2f} nats", t.entropy));
                    }});
  if (any([](const AnalyzedToken& t) { return t.exit.has_value(); })) {
    const auto layers = static_cast<double>(result.layers);
    tracks.push_back({"layers run", fmt::format("of {}", result.layers),
                      [layers](const AnalyzedToken& t, double x, double bottom) {
                        if (!t.exit) return std::string();
                        const auto run = static_cast<double>(t.exit->layers);
                        return Bar(x, bottom, kTrack * run / layers, kExitColour,
                                   fmt::format("left after layer {}", t.exit->layers));
                      }});
  }
  if (any([](const AnalyzedToken& t) { return t.draft.has_value(); }))
    tracks.push_back({"draft", "height: how sure", DraftMark});
  if (any([](const AnalyzedToken& t) { return t.precision || t.exit || t.draft; }))
    tracks.push_back({"KL", fmt::format("{:g} to {:g}, log", kLeastKl, kMostKl), KlBars});
  return tracks;
}

std::string Legend(double x, double y, const AnalyzeJobResult& result) {
  std::string out;
  const auto add = [&](const std::string& mark, const std::string& text) {
    out += mark + fmt::format(R"(<text x="{:.0f}" y="{:.0f}">{}</text>)", x + 16, y + 10, text);
    x += 30 + 6.3 * static_cast<double>(text.size());
  };
  const auto square = [&](const std::string& colour) {
    return fmt::format(
        R"(<rect x="{:.0f}" y="{:.0f}" width="12" height="12" fill="{}" stroke="#555"/>)", x, y,
        colour);
  };
  if (result.bits_a_weight)
    for (std::size_t c = 0; c < kClassColours.size(); ++c)
      add(square(kClassColours[c]), fmt::format("class {}", c));
  if (result.draft_planes > 0) {
    add(fmt::format(R"(<circle cx="{:.0f}" cy="{:.0f}" r="5" fill="{}"/>)", x + 6, y + 6,
                    kDraftColour),
        "draft accepted");
    add(fmt::format(R"(<path d="M{:.0f} {:.0f}l8 8m0 -8l-8 8" stroke="{}" stroke-width="2"/>)",
                    x + 2, y + 2, kKlColour),
        "rejected");
  }
  const auto has_exit = [](const AnalyzedToken& token) { return token.exit.has_value(); };
  if (result.bits_a_weight) add(square(kKlColour), "KL with classes");
  if (std::ranges::any_of(result.tokens, has_exit))
    add(square(kExitColour), "layers, KL with exits");
  if (result.draft_planes > 0) add(square(kDraftColour), "KL of the draft");
  return out;
}

std::string Band(const AnalyzeJobResult& result, const std::vector<Track>& tracks,
                 std::size_t begin, std::size_t end, double y) {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    const double x = kLeft + kCell * static_cast<double>(i - begin);
    const double label_x = x + kCell / 2 + 4, label_y = y + kTop - 8;
    out += fmt::format(
        "<text x=\"{0:.1f}\" y=\"{1:.1f}\" transform=\"rotate(-90 {0:.1f} {1:.1f})\" "
        "font-family=\"monospace\">{2}</text>\n",
        label_x, label_y, untrusted::EscapeHtml(Short(Shown(result.tokens[i].text))));
  }
  const double right = kLeft + kCell * static_cast<double>(end - begin);
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    const double bottom = y + kTop + kTrack + static_cast<double>(t) * (kTrack + kGap);
    out += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#f6f6f6\"/>"
        "<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\" font-weight=\"bold\">{}</text>"
        "<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\" fill=\"#666\">{}</text>\n",
        kLeft, bottom - kTrack, right - kLeft, kTrack, kLeft - 8, bottom - kTrack / 2 - 2,
        tracks[t].name, kLeft - 8, bottom - kTrack / 2 + 12, tracks[t].scale);
    for (std::size_t i = begin; i < end; ++i)
      out +=
          tracks[t].draw(result.tokens[i], kLeft + kCell * static_cast<double>(i - begin), bottom);
    out += "\n";
  }
  return out;
}

double Mean(const AnalyzeJobResult& result,
            const std::function<const double*(const AnalyzedToken&)>& of) {
  double sum = 0, count = 0;
  for (const AnalyzedToken& token : result.tokens)
    if (const double* value = of(token)) {
      sum += *value;
      ++count;
    }
  return count > 0 ? sum / count : 0;
}

std::string Details(const AnalyzedToken& token) {
  std::string text =
      fmt::format("entropy after it {:.2f}, surprise {:.2f}", token.entropy, token.surprise);
  if (token.precision)
    text += fmt::format("; importance {:.2f}, then {:.2f}: class {}, then {}; KL {:.4g}",
                        token.precision->importance, token.precision->probed_importance,
                        token.precision->below, token.precision->above, token.precision->kl);
  if (token.exit)
    text += fmt::format("; left after layer {}, KL {:.4g}", token.exit->layers, token.exit->kl);
  if (token.draft)
    text += fmt::format("; draft {}, KL {:.4g}", token.draft->accepted ? "accepted" : "rejected",
                        token.draft->kl);
  return text + "; expected next: " + Shown(token.next);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> AnalysisSummary(const AnalyzeJobResult& result) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"tokens", std::to_string(result.tokens.size())}};
  std::array<std::size_t, kClassColours.size()> classes{};
  std::size_t classed = 0, moved = 0, accepted = 0, drafted = 0;
  double layers = 0, left = 0;
  for (const AnalyzedToken& token : result.tokens) {
    if (token.precision) {
      ++classed;
      ++classes[token.precision->above];
      moved += token.precision->below != token.precision->above ? 1 : 0;
    }
    if (token.draft) {
      ++drafted;
      accepted += token.draft->accepted ? 1 : 0;
    }
    if (token.exit) {
      layers += static_cast<double>(token.exit->layers);
      ++left;
    }
  }
  if (classed > 0) {
    std::string text;
    for (std::size_t c = 0; c < classes.size(); ++c)
      text += fmt::format("{}{}: {}", c == 0 ? "" : ", ", c, classes[c]);
    lines.emplace_back("classes", text + fmt::format("; {} moved by their state", moved));
    lines.emplace_back("bits read",
                       fmt::format("{:.2f} a weight, {:.2f} with all planes",
                                   result.bits_a_weight.value_or(0), result.whole_bits_a_weight));
    lines.emplace_back("KL with classes",
                       fmt::format("{:.4f} nats a token", Mean(result, [](const auto& t) {
                                     return t.precision ? &t.precision->kl : nullptr;
                                   })));
  }
  if (left > 0) {
    lines.emplace_back("layers run", fmt::format("{:.2f} of {}", layers / left, result.layers));
    lines.emplace_back("KL with exits",
                       fmt::format("{:.4f} nats a token", Mean(result, [](const auto& t) {
                                     return t.exit ? &t.exit->kl : nullptr;
                                   })));
  }
  if (drafted > 0) {
    lines.emplace_back("drafts accepted", fmt::format("{} of {}", accepted, drafted));
    lines.emplace_back("KL of drafts",
                       fmt::format("{:.4f} nats a token", Mean(result, [](const auto& t) {
                                     return t.draft ? &t.draft->kl : nullptr;
                                   })));
  }
  for (const std::string& missing : result.missing) lines.emplace_back("not shown", missing);
  return lines;
}

std::string AnalysisSvg(const AnalyzeJobResult& result) {
  const std::vector<Track> tracks = TracksOf(result);
  const double band = kTop + static_cast<double>(tracks.size()) * (kTrack + kGap) + 14;
  const std::size_t count = result.tokens.size(), bands = (count + kAcross - 1) / kAcross;
  const double width = kLeft + kCell * static_cast<double>(std::min(count, kAcross)) + 16;
  const double shown_width = std::max(width, 760.0);
  const double height = 34 + band * static_cast<double>(bands);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"{2:.0f}\">\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"white\"/>\n",
      shown_width, height, kLabelSize);
  out += Legend(12, 10, result) + "\n";
  for (std::size_t b = 0; b < bands; ++b)
    out += Band(result, tracks, b * kAcross, std::min(count, (b + 1) * kAcross),
                34 + band * static_cast<double>(b));
  return out + "</svg>\n";
}

std::string AnalysisHtml(const AnalyzeJobResult& result, const std::string& title) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n"
      "<style>body{{font:15px/1.5 sans-serif;margin:2em;max-width:76em;color:#222}}"
      "h1{{font-size:1.3em}}table{{border-collapse:collapse;margin:1em 0}}"
      "td{{padding:.15em .8em .15em 0;vertical-align:top}}td:first-child{{color:#666}}"
      ".text{{font-family:monospace;white-space:pre-wrap;line-height:2}}"
      ".text span{{padding:.15em 0;border-bottom:3px solid transparent}}"
      ".c2,.c3{{color:#fff}}.no{{border-bottom-color:#c0392b!important}}</style></head><body>\n"
      "<h1>{0}</h1>\n<table>\n",
      untrusted::EscapeHtml(title));
  for (const auto& [name, value] : AnalysisSummary(result))
    out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", untrusted::EscapeHtml(name),
                       untrusted::EscapeHtml(untrusted::Printable(value)));
  out += "</table>\n<p class=\"text\">";
  for (const AnalyzedToken& token : result.tokens) {
    std::string style, name;
    if (token.precision) {
      name = fmt::format("c{}", token.precision->above);
      style = fmt::format(" style=\"background:{}\"", kClassColours[token.precision->above]);
    }
    if (token.draft && !token.draft->accepted) name += name.empty() ? "no" : " no";
    // Line ends are seen and kept.
    const bool ends = token.text.find('\n') != std::string::npos;
    out += fmt::format("<span class=\"{}\"{} title=\"{}\">{}</span>{}", name, style,
                       untrusted::EscapeHtml(Details(token)),
                       untrusted::EscapeHtml(Shown(token.text)), ends ? "\n" : "");
  }
  out +=
      "</p>\n<p>A token's shade is the class that the upper layers ran it with, darker for more "
      "planes; "
      "a red line under it: the draft of the token after it would have been rejected.</p>\n";
  return out + AnalysisSvg(result) + "</body></html>\n";
}

}  // namespace ingot::cli
