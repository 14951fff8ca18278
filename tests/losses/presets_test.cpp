#include <ballast/losses/presets.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "support/catch.hpp"
#include "support/csv.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::CountVector;
using ballast::Focal;
using ballast::Index;
using ballast::Margin;
using ballast::MatrixX;
using ballast::Reduction;
using ballast::RowMatrixX;
using ballast::SoftmaxLoss;
using ballast::SoftmaxLossOptions;
using ballast::VectorX;

/// A folder of tests/reference/cls_losses: one batch, every loss of the published codes at 50 digits.
struct Reference {
  explicit Reference(const std::string& folder)
      : path(std::string(BALLAST_REFERENCE_DIR) + "/cls_losses/" + folder + "/"),
        logits(CsvTable(path + "logits.csv").matrix()),
        labels(CsvTable(path + "labels.csv").column("y").cast<int>()),
        table(path + "classes.csv"),
        classes(ClassDistribution::from_counts(table.column("count").cast<ballast::Count>().eval())),
        losses(path + "losses.csv"),
        summary(path + "summary.csv") {}

  std::string path;
  Eigen::MatrixXd logits;
  Eigen::VectorXi labels;
  CsvTable table;
  ClassDistribution classes;
  CsvTable losses;
  CsvTable summary;
};

// The tolerances the reference itself is good to: 1e-10 relative and 1e-14 absolute in double. In float the
// inputs are rounded first, so that the scaled logits of LDAM (s = 30) carry 30 times their error.
template <typename Scalar>
bool agrees(Scalar came, double expected) {
  const double relative = std::is_same_v<Scalar, double> ? 1e-10 : 1e-5;
  const double absolute = std::is_same_v<Scalar, double> ? 1e-14 : 1e-6;
  return std::abs(static_cast<double>(came) - expected) <= relative * std::abs(expected) + absolute;
}

template <typename Matrix, typename Loss>
void check_against(const Reference& reference, std::size_t row, const Loss& loss) {
  using Scalar = typename Matrix::Scalar;
  const std::string name = reference.summary.text(row, "name");
  CAPTURE(name, Matrix::IsRowMajor);
  const Matrix logits = reference.logits.template cast<Scalar>();
  Matrix gradient(logits.rows(), logits.cols());
  VectorX<Scalar> values(logits.rows());
  CHECK(agrees(loss(logits, reference.labels, gradient), reference.summary.number(row, "mean_mp50")));
  CHECK(agrees(loss(logits, reference.labels), reference.summary.number(row, "mean_mp50")));
  loss.each(logits, reference.labels, values);

  const std::size_t samples = static_cast<std::size_t>(logits.rows());
  bool values_agree = true;
  for (std::size_t i = 0; i < samples; ++i) {
    const double expected = reference.losses.number(row * samples + i, "loss_mp50");
    values_agree = values_agree && agrees(values[static_cast<Index>(i)], expected);
  }
  CHECK(values_agree);

  const Eigen::MatrixXd expected = CsvTable(reference.path + "gradmp_" + name + ".csv").matrix();
  bool gradients_agree = true;
  for (Index i = 0; i < logits.rows(); ++i) {
    for (Index k = 0; k < logits.cols(); ++k) {
      gradients_agree = gradients_agree && agrees(gradient(i, k), expected(i, k));
    }
  }
  CHECK(gradients_agree);
}

double number_after(const std::string& name, const std::string& mark) {
  return std::stod(name.substr(name.find(mark) + mark.size()));
}

bool starts_with(const std::string& name, const std::string& head) {
  return name.rfind(head, 0) == 0;
}

/// Builds the loss that a row of the reference names, and checks it.
template <typename Matrix>
void check_row(const Reference& reference, std::size_t row) {
  using Scalar = typename Matrix::Scalar;
  const std::string name = reference.summary.text(row, "name");
  const ClassDistribution& classes = reference.classes;
  const Index count = classes.classes();
  const VectorX<Scalar> alpha = reference.table.column("alpha").cast<Scalar>();
  const VectorX<Scalar> drw = reference.table.column("drw").cast<Scalar>();
  SoftmaxLossOptions<Scalar> options;
  options.reduction =
      reference.summary.text(row, "reduction") == "N" ? Reduction::mean : Reduction::weighted_mean;
  const auto scalar = [](double value) {
    return static_cast<Scalar>(value);
  };
  const auto check = [&](const auto& loss) {
    check_against<Matrix>(reference, row, loss);
  };

  if (name == "ce") {
    check(ballast::cross_entropy_loss<Scalar>(count, options));
  } else if (starts_with(name, "ce_alpha")) {
    check(ballast::class_weighted_loss<Scalar>(alpha, options));
  } else if (starts_with(name, "la_exact")) {
    check(ballast::logit_adjusted_loss<Scalar>(classes, scalar(number_after(name, "tau")),
                                               ballast::ZeroCount::refuse(), options));
  } else if (starts_with(name, "la_google")) {
    // The published code adds 1e-12 inside the logarithm: a margin filled by hand.
    Margin<Scalar> margin;
    margin.offset = (classes.prior().array().pow(number_after(name, "tau")) + 1e-12).log().cast<Scalar>();
    check(ballast::softmax_loss<Scalar>({}, margin, ballast::CrossEntropy{}, options));
  } else if (starts_with(name, "focal_ldamdrw")) {
    check(ballast::weight_inside_focal_loss<Scalar>(alpha, scalar(number_after(name, "_g")), options));
  } else if (starts_with(name, "focal_std")) {
    check(ballast::weighted_focal_loss<Scalar>(alpha, scalar(number_after(name, "_g")), options));
  } else if (starts_with(name, "focal")) {
    check(ballast::focal_loss<Scalar>(count, scalar(number_after(name, "_g")), options));
  } else if (starts_with(name, "ldam")) {
    const bool deferred = name.find("drw") != std::string::npos;
    check(ballast::ldam_loss<Scalar>(classes, scalar(number_after(name, "_m")),
                                     scalar(number_after(name, "_s")), deferred ? drw : VectorX<Scalar>(),
                                     options));
  } else if (starts_with(name, "vs")) {
    check(ballast::vector_scaling_loss<Scalar>(classes, scalar(number_after(name, "_g")),
                                               scalar(number_after(name, "tau")),
                                               ballast::ZeroCount::refuse(), options));
  } else if (name == "balanced_softmax") {
    check(ballast::balanced_softmax_loss<Scalar>(classes, ballast::ZeroCount::refuse(), options));
  } else if (starts_with(name, "label_smoothing")) {
    options.smoothing = scalar(number_after(name, "smoothing_"));
    check(ballast::cross_entropy_loss<Scalar>(count, options));
  } else {
    REQUIRE(starts_with(name, "pairwise_"));
    const bool inverse_prior = name.find("_invprior") != std::string::npos;
    const std::string delta = name.substr(
        9, name.find("_invprior") == std::string::npos ? std::string::npos : name.find("_invprior") - 9);
    const VectorX<Scalar> weights = classes.prior().cwiseInverse().cast<Scalar>();
    check(ballast::pairwise_loss<Scalar>(CsvTable(reference.path + "delta_" + delta + ".csv").matrix(),
                                         inverse_prior ? weights : VectorX<Scalar>(), options));
  }
}

ClassDistribution long_tail() {
  return ClassDistribution::from_counts((CountVector(5) << 1000, 300, 40, 7, 1).finished());
}

/// Largest difference between the gradient and central differences of the value, in double.
template <typename Loss>
double gradient_error(const Loss& loss, Eigen::MatrixXd logits, const Eigen::VectorXi& labels) {
  Eigen::MatrixXd gradient(logits.rows(), logits.cols());
  loss(logits, labels, gradient);
  const double step = 1e-5;
  double worst = 0;
  for (double& logit : logits.reshaped()) {
    const double middle = logit;
    logit = middle + step;
    const double above = loss(logits, labels);
    logit = middle - step;
    const double below = loss(logits, labels);
    logit = middle;
    const Index position = &logit - logits.data();
    worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient.data()[position]));
  }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("presets: every loss of the published codes, to the digits of the reference", "[losses]",
                   Eigen::MatrixXd, RowMatrixX<double>, Eigen::MatrixXf, RowMatrixX<float>) {
  for (const std::string folder : {"base_c10", "c2"}) {
    CAPTURE(folder);
    const Reference reference(folder);
    REQUIRE(reference.summary.rows() == 46);
    for (std::size_t row = 0; row < reference.summary.rows(); ++row) check_row<TestType>(reference, row);
  }
}

TEST_CASE("presets: gradients are the derivatives of the values", "[losses]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const ClassDistribution classes = long_tail();
  const Eigen::VectorXi labels = random.labels(6, 5);
  const Eigen::MatrixXd logits = random.matrix<Eigen::MatrixXd>(6, 5, -2, 2);
  const Eigen::VectorXd weights = ballast::effective_number_weights<double>(classes, 0.99);
  const Eigen::VectorXd target = Eigen::VectorXd::Constant(5, 0.2);
  Eigen::MatrixXd delta = random.matrix<Eigen::MatrixXd>(5, 5, -1, 1);
  delta.diagonal().setZero();
  SoftmaxLossOptions<double> smooth;
  smooth.smoothing = 0.2;
  smooth.smoothing_target = classes.prior();

  // Central differences of a function with third derivatives below about 1e3 (LDAM's s^3 / 27 the largest)
  // are good to 1e3 * step^2 / 6 + epsilon * value / step.
  const double bound = 1e-7;
  CHECK(gradient_error(ballast::cross_entropy_loss<double>(5), logits, labels) < bound);
  CHECK(gradient_error(ballast::class_weighted_loss<double>(weights), logits, labels) < bound);
  CHECK(gradient_error(ballast::logit_adjusted_loss<double>(classes, 1.3), logits, labels) < bound);
  CHECK(gradient_error(ballast::balanced_softmax_loss<double>(classes), logits, labels) < bound);
  CHECK(gradient_error(ballast::target_prior_loss<double>(classes, target), logits, labels) < bound);
  CHECK(gradient_error(ballast::ldam_loss<double>(classes, 0.5, 10, weights), logits, labels) < bound);
  CHECK(gradient_error(ballast::adaptive_margin_loss<double>(classes), logits, labels) < bound);
  CHECK(gradient_error(ballast::equalized_loss<double>(classes), logits, labels) < bound);
  CHECK(gradient_error(ballast::vector_scaling_loss<double>(classes, 0.3), logits, labels) < bound);
  CHECK(gradient_error(ballast::pairwise_loss<double>(delta, weights), logits, labels) < bound);
  for (const double gamma : {0.0, 0.5, 1.0, 1.7, 2.0, 5.0}) {
    CAPTURE(gamma);
    CHECK(gradient_error(ballast::focal_loss<double>(5, gamma), logits, labels) < bound);
    CHECK(gradient_error(ballast::weighted_focal_loss<double>(weights, gamma), logits, labels) < bound);
    CHECK(gradient_error(ballast::weight_inside_focal_loss<double>(weights, gamma), logits, labels) < bound);
    CHECK(gradient_error(ballast::softmax_loss<double>(weights, ballast::ldam_margin<double>(classes, 0.5, 4),
                                                       Focal<double>{gamma}, smooth),
                         logits, labels) < bound);
  }
  CHECK(gradient_error(
            ballast::softmax_loss<double>(weights, ballast::vector_scaling_margin<double>(classes, 0.2, 0.7),
                                          ballast::CrossEntropy{}, smooth),
            logits, labels) < bound);
}

TEST_CASE("presets: named losses meet where their formulas do", "[losses]") {
  const ClassDistribution classes = long_tail();
  const Eigen::VectorXi labels = RandomData(4).labels(20, 5);
  const Eigen::MatrixXd logits = RandomData(5).matrix<Eigen::MatrixXd>(20, 5, -5, 5);
  const double plain = ballast::cross_entropy_loss<double>(5)(logits, labels);
  const auto close = [](double a, double b) {
    return std::abs(a - b) <= 1e-13 * std::abs(b);
  };
  CHECK(close(ballast::logit_adjusted_loss<double>(classes, 0.0)(logits, labels), plain));
  CHECK(close(ballast::focal_loss<double>(5, 0.0)(logits, labels), plain));
  CHECK(close(ballast::target_prior_loss<double>(classes, classes.prior())(logits, labels), plain));
  CHECK(
      close(ballast::class_weighted_loss<double>(Eigen::VectorXd::Constant(5, 3.0))(logits, labels), plain));
  CHECK(close(ballast::weight_inside_focal_loss<double>(Eigen::VectorXd::Ones(5), 1.5)(logits, labels),
              ballast::focal_loss<double>(5, 1.5)(logits, labels)));
  // A uniform target prior only shifts every logit alike.
  CHECK(close(ballast::target_prior_loss<double>(classes, Eigen::VectorXd::Constant(5, 0.2))(logits, labels),
              ballast::balanced_softmax_loss<double>(classes)(logits, labels)));
}
