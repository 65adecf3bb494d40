#include "model/architecture/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ingot::model {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr std::uint64_t kMaxPositions = std::uint64_t{1} << 32;

// base^(2i / dims), rounded to float32 after each step.
std::vector<float> Wavelengths(double base, std::uint64_t dims) {
  std::vector<float> out(dims / 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dims);
    out[i] = static_cast<float>(
        std::pow(static_cast<double>(static_cast<float>(base)), static_cast<double>(exponent)));
  }
  return out;
}

std::vector<double> Inverse(const std::vector<float>& wavelengths) {
  std::vector<double> out(wavelengths.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = 1.0f / wavelengths[i];
  return out;
}

// What the formulas share. `scaling` reads the object that holds factor and the rest.
struct RopeInputs {
  ConfigReader& scaling;
  double theta;
  std::uint64_t dims;
  std::uint64_t max_positions;
  std::uint64_t original_positions;
};

void Linear(const RopeInputs& in, RopeSpec& rope) {
  const float factor = static_cast<float>(in.scaling.Positive("factor"));
  for (double& f : rope.inv_freq) f = static_cast<float>(f) / factor;
}

void DynamicNtk(const RopeInputs& in, RopeSpec& rope) {
  const double factor = in.scaling.Positive("factor");
  if (in.dims <= 2 || factor < 1) {
    in.scaling.Fail(fmt::format("dynamic rope of factor {} over {} dimensions", factor, in.dims));
    return;
  }
  rope.dynamic_factor = factor;
  rope.switch_length = in.max_positions;
}

void Llama3(const RopeInputs& in, RopeSpec& rope) {
  const auto factor = static_cast<float>(in.scaling.Positive("factor"));
  const auto low = static_cast<float>(in.scaling.Positive("low_freq_factor"));
  const auto high = static_cast<float>(in.scaling.Positive("high_freq_factor"));
  if (high <= low)
    in.scaling.Fail(
        fmt::format("'high_freq_factor' {} is not above 'low_freq_factor' {}", high, low));
  const auto positions = static_cast<float>(in.original_positions);
  const float low_wavelength = positions / low;
  const float high_wavelength = positions / high;
  for (double& f : rope.inv_freq) {
    const auto inverse = static_cast<float>(f);
    const float wavelength = static_cast<float>(2 * kPi) / inverse;
    if (wavelength > low_wavelength) {
      f = inverse / factor;
    } else if (!(wavelength < high_wavelength)) {
      const float smooth = (positions / wavelength - low) / (high - low);
      f = (1 - smooth) * inverse / factor + smooth * inverse;
    }
  }
}

double YarnScale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

void Yarn(const RopeInputs& in, RopeSpec& rope) {
  ConfigReader& s = in.scaling;
  const auto original = static_cast<double>(in.original_positions);
  const double factor = s.Positive("factor", static_cast<double>(in.max_positions) / original);
  const double mscale = s.Number("mscale", 0);
  const double mscale_all = s.Number("mscale_all_dim", 0);
  rope.attention_factor =
      s.Positive("attention_factor", mscale != 0 && mscale_all != 0
                                         ? YarnScale(factor, mscale) / YarnScale(factor, mscale_all)
                                         : YarnScale(factor, 1));
  const double fast = s.Positive("beta_fast", 32);
  const double slow = s.Positive("beta_slow", 1);
  const auto dims = static_cast<double>(in.dims);
  const auto correction = [&](double rotations) {
    return dims * std::log(original / (rotations * 2 * kPi)) / (2 * std::log(in.theta));
  };
  double low = correction(fast);
  double high = correction(slow);
  if (s.Flag("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  const std::vector<float> wavelengths = Wavelengths(in.theta, in.dims);
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1 - ramp;
    const float interpolated = 1.0f / (static_cast<float>(factor) * wavelengths[i]);
    const float extrapolated = 1.0f / wavelengths[i];
    rope.inv_freq[i] = interpolated * (1 - keep) + extrapolated * keep;
  }
}

void LongRope(const RopeInputs& in, RopeSpec& rope) {
  ConfigReader& s = in.scaling;
  const auto original = static_cast<double>(in.original_positions);
  const double factor = s.Positive("factor", static_cast<double>(in.max_positions) / original);
  rope.attention_factor = s.Positive(
      "attention_factor",
      factor <= 1 || original <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original)));
  const std::vector<double> short_factor = s.PositiveList("short_factor", in.dims / 2);
  const std::vector<double> long_factor = s.PositiveList("long_factor", in.dims / 2);
  const std::vector<float> wavelengths = Wavelengths(in.theta, in.dims);
  rope.long_inv_freq.resize(wavelengths.size());
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    rope.inv_freq[i] = 1.0f / (static_cast<float>(short_factor[i]) * wavelengths[i]);
    rope.long_inv_freq[i] = 1.0f / (static_cast<float>(long_factor[i]) * wavelengths[i]);
  }
  rope.switch_length = in.original_positions;
}

void ApplyScaling(const std::string& type, const RopeInputs& in, RopeSpec& rope) {
  if (type == "default" || type.empty() || type == "none") return;
  if (type == "linear") return Linear(in, rope);
  if (type == "dynamic" || type == "ntk") return DynamicNtk(in, rope);
  if (type == "llama3") return Llama3(in, rope);
  if (type == "yarn") return Yarn(in, rope);
  if (type == "longrope" || type == "su") return LongRope(in, rope);
  in.scaling.Fail(Unsupported(
      fmt::format("{}: rope type '{}' (known: default, linear, dynamic, llama3, yarn, longrope)",
                  in.scaling.where(), type)));
}

// What rope_type and its numbers are read from, and how messages call it.
struct ScalingSource {
  Json object = Json::object();
  const char* name = "rope_parameters";
};

const Json* ObjectOf(const Json* value) {
  return value != nullptr && value->is_object() && !value->empty() ? value : nullptr;
}

const Json* MemberOf(const Json* object, const std::string& key) {
  if (object == nullptr) return nullptr;
  const auto member = object->find(key);
  return member == object->end() ? nullptr : ObjectOf(&*member);
}

// One object for each layer type (Gemma 3). rope_scaling is about layers that see everything, and
// amends their object; objects that are not within a layer type's are about none.
ScalingSource LayeredSource(ConfigReader& config, const RopeRequest& request) {
  const Json* parameters = ObjectOf(config.Find("rope_parameters"));
  const Json* scaling = *request.scaling_key == 0 ? nullptr : config.Find(request.scaling_key);
  ScalingSource source;
  if (const Json* own = MemberOf(parameters, request.layer_type)) source.object = *own;
  // What a rope_scaling amends where there is nothing else: its older 'type' does not count then.
  if (parameters == nullptr) source.object["rope_type"] = "default";
  if (scaling = ObjectOf(scaling); scaling != nullptr) {
    source.object.update(*scaling);
    source.name = "rope_scaling";
  }
  return source;
}

// rope_scaling replaces rope_parameters, with all that is in it, where both are given.
ScalingSource FlatSource(ConfigReader& config, const RopeRequest& request) {
  const Json* parameters = ObjectOf(config.Find("rope_parameters"));
  ScalingSource source;
  if (const Json* scaling = ObjectOf(config.Find(request.scaling_key)); scaling != nullptr) {
    source.object = *scaling;
    source.name = "rope_scaling";
  } else if (parameters != nullptr) {
    source.object = *parameters;
  }
  return source;
}

std::uint64_t OriginalPositions(ConfigReader& config, ConfigReader& scaling,
                                const RopeRequest& request) {
  constexpr const char* kKey = "original_max_position_embeddings";
  if (request.layer_type.empty() && config.Has(kKey)) return config.Count(kKey, 1, kMaxPositions);
  if (request.default_original_positions != 0) return request.default_original_positions;
  return scaling.Count(kKey, 1, kMaxPositions, request.max_positions);
}

// The share of a head that is rotated. Families that rotate whole heads do not look at it, but the
// tables of scaled ropes do.
double RotatedShare(ConfigReader& config, ConfigReader& scaling, const RopeRequest& request,
                    bool scaled) {
  constexpr const char* kKey = "partial_rotary_factor";
  double share = request.default_partial;
  if (*request.partial_key != 0) share = config.Positive(request.partial_key, share);
  share = scaling.Positive(kKey, share);
  if (share > 1) config.Fail(fmt::format("'{}' is {}, above 1", kKey, share));
  if (request.partial || share == 1) return share;
  if (scaled)
    config.Fail(Unsupported(
        fmt::format("{}: '{}' is {} beside a scaled rope, in a family that rotates whole heads",
                    config.where(), kKey, share)));
  return 1;
}

}  // namespace

RopeSpec ReadRope(ConfigReader& config, const RopeRequest& request) {
  const ScalingSource source =
      request.layer_type.empty() ? FlatSource(config, request) : LayeredSource(config, request);
  ConfigReader scaling(source.object, config.where() + ": " + source.name);
  const double old_theta = config.Positive(request.theta_key, request.default_theta);
  const double theta = scaling.Positive("rope_theta", old_theta);
  std::string type = scaling.Text("rope_type", scaling.Text("type", "default"));
  if (type == "yarn" && request.yarn_is_longrope) type = "longrope";
  const bool scaled = type != "default" && type != "none" && !type.empty();
  const double share = RotatedShare(config, scaling, request, scaled);
  RopeSpec rope;
  if (theta <= 1) config.Fail(fmt::format("'rope_theta' is {}, more than 1 was expected", theta));
  if (config.status().ok() && scaling.status().ok()) {
    rope.dims = static_cast<std::uint64_t>(static_cast<double>(request.head_dim) * share);
    if (rope.dims < 2 || rope.dims % 2 != 0) {
      config.Fail(
          fmt::format("rotary embedding over {} of a head's {} dimensions: an even number "
                      "was expected",
                      rope.dims, request.head_dim));
      return rope;
    }
    rope.inv_freq = Inverse(Wavelengths(theta, rope.dims));
    const RopeInputs inputs{scaling, theta, rope.dims, request.max_positions,
                            OriginalPositions(config, scaling, request)};
    ApplyScaling(type, inputs, rope);
  }
  config.Fail(scaling.status());
  return rope;
}

}  // namespace ingot::model
