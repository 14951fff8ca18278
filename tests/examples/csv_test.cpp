#include "../examples/support/csv.hpp"

#include <string>

#include "support/catch.hpp"
#include "temporary_file.hpp"

namespace {

using example::Dataset;
using example::read_csv;

/// The message with which a file of this text is refused; "(not refused)" if it is not.
std::string refusal(const std::string& text, const Dataset* like = nullptr) {
  const TemporaryFile file("ballast_csv_test.csv", text);
  try {
    read_csv(file.path(), like);
  } catch (const example::InputError& error) {
    const std::string message = error.what();
    return message.rfind(file.path(), 0) == 0 ? message.substr(file.path().size()) : message;
  }
  return "(not refused)";
}

Dataset two_by_two_training_set() {
  Dataset data;
  data.inputs.setZero(3, 2);
  data.labels.setZero(3);
  data.classes = 3;
  return data;
}

}  // namespace

TEST_CASE("csv: reads labels and features, with and without a header", "[examples]") {
  const std::string header = GENERATE("", "y,a,b\n", "\n\n");
  const TemporaryFile file("ballast_csv_test.csv", header + "2,1.5,-3e1\r\n0, 7 ,.25\n\n1.0,0,1");
  const Dataset data = read_csv(file.path());

  REQUIRE(data.samples() == 3);
  CHECK(data.classes == 3);
  CHECK(data.labels == Eigen::Vector3i(2, 0, 1));
  const ballast::RowMatrixX<float> expected =
      (Eigen::Matrix<float, 3, 2>() << 1.5f, -30.0f, 7.0f, 0.25f, 0.0f, 1.0f).finished();
  CHECK(data.inputs == expected);
}

TEST_CASE("csv: a bad file is refused with line and reason", "[examples]") {
  CHECK(refusal("y,a,b\n1,2,3\n0,4\n") == ":3: has 2 columns, expected 3");
  CHECK(refusal("1,2,3\n0,4,5,6\n") == ":2: has 4 columns, expected 3");
  CHECK(refusal("1\n0\n") == ":1: has 1 column, expected a label and then features");
  CHECK(refusal("y,a\n1,x\n") == ":2: column 2 is 'x', expected a finite number");
  CHECK(refusal("y,a\n1,\n") == ":2: column 2 is '', expected a finite number");
  CHECK(refusal("y,a\n1,2 3\n") == ":2: column 2 is '2 3', expected a finite number");
  CHECK(refusal("y,a\n1,nan\n") == ":2: column 2 is 'nan', expected a finite number");
  CHECK(refusal("y,a\n1,1e40\n") == ":2: column 2 is '1e40', expected a finite number");
  // One number is enough to tell the first line from a header.
  CHECK(refusal("oops,2\n1,2\n") == ":1: the label is 'oops', expected an integer in [0, 10000)");
  CHECK(refusal("1,2\n-1,2\n") == ":2: the label is '-1', expected an integer in [0, 10000)");
  CHECK(refusal("1,2\n1.5,2\n") == ":2: the label is '1.5', expected an integer in [0, 10000)");
  CHECK(refusal("1,2\n10000,2\n") == ":2: the label is '10000', expected an integer in [0, 10000)");
  CHECK(refusal("") == ":1: the file ends without a single sample");
  CHECK(refusal("y,a\n") == ":2: the file ends without a single sample");
}

TEST_CASE("csv: a test file has the columns and classes of its training file", "[examples]") {
  const Dataset train = two_by_two_training_set();
  CHECK(refusal("2,1,1\n", &train) == "(not refused)");
  CHECK(refusal("y,a,b\n2,1,1\n3,1,1\n", &train) ==
        ":3: the label is '3', expected an integer in [0, 3), as in the training file");
  CHECK(refusal("2,1\n", &train) == ":1: has 2 columns, expected 3");

  const TemporaryFile file("ballast_csv_test.csv", "0,1,1\n");
  CHECK(read_csv(file.path(), &train).classes == 3);
}

TEST_CASE("csv: a missing file and a directory are refused by name", "[examples]") {
  const std::string directory = scratch_directory();
  const auto message = [](const std::string& path) -> std::string {
    try {
      read_csv(path);
    } catch (const example::InputError& error) {
      return error.what();
    }
    return "(not refused)";
  };
  CHECK(message(directory + "/no_such.csv").find("/no_such.csv: cannot be opened: ") != std::string::npos);
  CHECK(message(directory).rfind(directory + ":1: cannot be read", 0) == 0);
}

TEST_CASE("csv: standardising uses the training set alone", "[examples]") {
  Dataset train, test;
  train.inputs = (Eigen::Matrix<float, 2, 2>() << 1, 5, 3, 5).finished();
  test.inputs = (Eigen::Matrix<float, 1, 2>() << 4, 6).finished();
  example::standardise(train, test);
  const ballast::RowMatrixX<float> expected = (Eigen::Matrix<float, 2, 2>() << -1, 0, 1, 0).finished();
  CHECK(train.inputs == expected);
  CHECK(test.inputs(0, 0) == 2.0f);  // (4 - 2) / 1
  CHECK(test.inputs(0, 1) == 1.0f);  // a constant column is only shifted
}

TEST_CASE("csv: labels that are any number", "[examples]") {
  const TemporaryFile file("ballast_csv_test.csv", "age,a\n-1.5,2\n1e3,4\n");
  const example::RealDataset data = example::read_regression_csv(file.path());
  REQUIRE(data.samples() == 2);
  CHECK(data.labels == Eigen::Vector2f(-1.5f, 1000.0f));
  CHECK(data.inputs == Eigen::Vector2f(2, 4));

  const auto refused = [](const std::string& text, const example::RealDataset* like) -> std::string {
    const TemporaryFile bad("ballast_csv_test_bad.csv", text);
    try {
      example::read_regression_csv(bad.path(), like);
    } catch (const example::InputError& error) {
      return std::string(error.what()).substr(bad.path().size());
    }
    return "(not refused)";
  };
  CHECK(refused("1,2\nold,2\n", nullptr) == ":2: the label is 'old', expected a finite number");
  CHECK(refused("inf,2\n", nullptr) == ":1: the label is 'inf', expected a finite number");
  CHECK(refused("1,2,3\n", &data) == ":1: has 3 columns, expected 2");
}
