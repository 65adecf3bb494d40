#include "tools/cli/device_option.h"

#include <utility>

namespace ingot::cli {

CLI::Option* AddDeviceOption(CLI::App* command, std::string& device) {
  return command
      ->add_option("--device", device,
                   "cpu, cuda[:N] (a GPU), or auto: a GPU where one takes the model")
      ->type_name("cpu|auto|cuda[:N]")
      ->check([](const std::string& text) {
        if (text == "cpu" || text == "auto" || cuda::ParseCudaDevice(text).ok())
          return std::string();
        return "'" + text + "' is no device: cpu, auto, cuda or cuda:N";
      });
}

Result<std::unique_ptr<cuda::CudaRunner>> GpuRunner(const std::string& device,
                                                    std::shared_ptr<const loader::Model> model,
                                                    cuda::CudaOptions options, std::string& why) {
  if (device == "cpu") return std::unique_ptr<cuda::CudaRunner>();
  if (device != "auto") {
    INGOT_ASSIGN(options.device, cuda::ParseCudaDevice(device));
  }
  auto runner = cuda::CudaRunner::Make(std::move(model), options);
  if (runner.ok() || device != "auto") return runner;
  why = runner.status().message();
  return std::unique_ptr<cuda::CudaRunner>();
}

}  // namespace ingot::cli
