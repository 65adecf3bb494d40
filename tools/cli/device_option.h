// --device: where a model runs.
//
// Thread rule: pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "loader/cuda/cuda_runner.h"

namespace ingot::cli {

// cpu, auto, cuda or cuda:N; anything else is a usage error.
CLI::Option* AddDeviceOption(CLI::App* command, std::string& device);

// The runner on a GPU; null for the processor: cpu, or auto where no GPU answers or the model does
// not run there, which `why` says. Errors of CudaRunner::Make for cuda.
Result<std::unique_ptr<cuda::CudaRunner>> GpuRunner(const std::string& device,
                                                    std::shared_ptr<const loader::Model> model,
                                                    cuda::CudaOptions options, std::string& why);

}  // namespace ingot::cli
