#include "jobs/ridge.h"

#include <Eigen/Cholesky>

#include "base/status.h"

namespace ingot::jobs {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

}  // namespace

Ridge::Ridge(std::span<const float> examples, std::span<const float> targets, std::size_t width)
    : count_(static_cast<double>(targets.size())) {
  INGOT_CHECK(!targets.empty() && examples.size() == targets.size() * width);
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto rows = static_cast<Eigen::Index>(targets.size());
  const auto n = static_cast<Eigen::Index>(width) - 1;
  const Vector y = Eigen::Map<const Eigen::VectorXf>(targets.data(), rows).cast<double>();
  target_mean_ = y.mean();
  Matrix x = Eigen::Map<const Rows>(examples.data(), rows, n + 1).rightCols(n).cast<double>();
  const Eigen::RowVectorXd mean = x.colwise().mean();
  x.rowwise() -= mean;
  const Eigen::RowVectorXd variance = x.colwise().squaredNorm() / count_;
  const Eigen::RowVectorXd scale =
      (variance.array() > 1e-20).select(variance.array().sqrt().inverse(), 0.0);
  x.array().rowwise() *= scale.array();
  Matrix gram = Matrix::Zero(n, n);
  gram.selfadjointView<Eigen::Lower>().rankUpdate(x.transpose());
  const Vector cross = x.transpose() * (y.array() - target_mean_).matrix();
  mean_.assign(mean.begin(), mean.end());
  scale_.assign(scale.begin(), scale.end());
  gram_.assign(gram.data(), gram.data() + gram.size());
  cross_.assign(cross.begin(), cross.end());
}

std::vector<double> Ridge::Fit(double ridge) const {
  INGOT_CHECK(ridge > 0);
  const auto n = static_cast<Eigen::Index>(cross_.size());
  Matrix gram = Eigen::Map<const Matrix>(gram_.data(), n, n);
  gram.diagonal().array() += ridge * count_;
  const Vector weights =
      gram.selfadjointView<Eigen::Lower>().llt().solve(Eigen::Map<const Vector>(cross_.data(), n));
  std::vector<double> result = {target_mean_};
  for (std::size_t i = 0; i < cross_.size(); ++i) {
    result.push_back(weights[static_cast<Eigen::Index>(i)] * scale_[i]);
    result[0] -= result.back() * mean_[i];
  }
  return result;
}

}  // namespace ingot::jobs
