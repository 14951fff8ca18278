#include <ballast/core/check.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
namespace detail = ballast::detail;

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("check: a message names function, argument, what came and what was expected", "[core][errors]") {
  CHECK(rejection([] { detail::reject("f", "x is ", 3, ", expected ", "4"); }) ==
        "ballast: f: x is 3, expected 4");
  CHECK(rejection([] { detail::require(false, "f", "no"); }) == "ballast: f: no");
  CHECK_NOTHROW(detail::require(true, "f", "no"));
}

TEST_CASE("check: small integers print as numbers and doubles to the last digit", "[core][errors]") {
  CHECK(rejects([] { detail::reject("f", std::int8_t(-5), ' ', std::uint8_t(200)); }, {"-5", "200"}));
  CHECK(rejects([] { detail::reject("f", 0.1 + 0.2); }, {"0.30000000000000004"}));
}

TEST_CASE("check: sizes and shapes", "[core][errors]") {
  CHECK_NOTHROW(detail::require_size("f", "v", 3, 3, "classes"));
  CHECK(rejects([] { detail::require_size("f", "v", 2, 3, "classes"); },
                {"f: v has size 2, expected 3 (classes)"}));
  const Eigen::MatrixXf matrix(2, 3);
  CHECK_NOTHROW(detail::require_shape("f", "m", matrix, 2, 3));
  CHECK(rejects([&] { detail::require_shape("f", "m", matrix, 3, 3); }, {"f: m is 2 x 3, expected 3 x 3"}));
  CHECK(rejects([&] { detail::require_shape("f", "m", matrix, 2, 2); }, {"f: m is 2 x 3, expected 2 x 2"}));
}

TEST_CASE("check: ranges take their ends and refuse NaN", "[core][errors]") {
  CHECK_NOTHROW(detail::require_between("f", "x", 0.0, 0.0, 1.0));
  CHECK_NOTHROW(detail::require_between("f", "x", 1.0, 0.0, 1.0));
  CHECK(rejects([] { detail::require_between("f", "x", -0.5, 0.0, 1.0); }, {"x is -0.5, expected [0, 1]"}));
  CHECK(rejects([] { detail::require_between("f", "x", 1.5, 0.0, 1.0); }, {"x is 1.5"}));
  CHECK(rejects([] { detail::require_between("f", "x", std::nan(""), 0.0, 1.0); }, {"x is nan"}));
}

TEMPLATE_TEST_CASE("check: finite numbers, and the first that is not", "[core][errors]", float, double) {
  const TestType limit = std::numeric_limits<TestType>::max();
  CHECK_NOTHROW(detail::require_finite("f", "x", limit));
  CHECK(rejects([] { detail::require_finite("f", "x", static_cast<TestType>(-infinity)); },
                {"x is -inf, expected"}));
  Eigen::Matrix<TestType, 4, 1> vector(1, limit, std::numeric_limits<TestType>::quiet_NaN(),
                                       static_cast<TestType>(infinity));
  CHECK(rejects([&] { detail::require_all_finite("f", "v", vector); },
                {"v[2] is nan, expected a finite number"}));
  CHECK_NOTHROW(detail::require_all_finite("f", "v", vector.head(2)));
}

TEMPLATE_TEST_CASE("check: labels are in range, and the first that is not is named", "[core][errors]",
                   std::int8_t, std::uint8_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
  Eigen::Matrix<TestType, Eigen::Dynamic, 1> labels(4);
  labels << 0, 2, 1, 2;
  CHECK_NOTHROW(detail::require_labels("f", "labels", labels, 3));
  CHECK_NOTHROW(detail::require_labels("f", "labels", labels.head(0), 1));
  CHECK(rejects([&] { detail::require_labels("f", "labels", labels, 2); },
                {"f: labels[1] is 2, expected [0, 2)"}));
  labels[2] = static_cast<TestType>(-1);
  CHECK(rejects([&] { detail::require_labels("f", "labels", labels, 3); }, {"labels[2]"}));
}

TEST_CASE("check: a label that Index cannot hold is no label", "[core]") {
  STATIC_REQUIRE(detail::label_index(std::uint64_t(5)) == 5);
  STATIC_REQUIRE(detail::label_index(std::uint64_t(1) << 63) == -1);
  STATIC_REQUIRE(detail::label_index(std::numeric_limits<std::uint64_t>::max()) == -1);
  STATIC_REQUIRE(detail::label_index(std::int8_t(-3)) == -3);
  STATIC_REQUIRE(detail::label_index(std::uint8_t(255)) == 255);
}
