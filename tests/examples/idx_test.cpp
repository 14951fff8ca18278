#include "../examples/support/idx.hpp"

#include <string>

#include "support/catch.hpp"
#include "temporary_file.hpp"

namespace {

using example::Dataset;

std::string big_endian(unsigned value) {
  std::string bytes;
  for (int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<char>(value >> shift & 0xffu));
  return bytes;
}

std::string labels_file(const std::string& labels) {
  return std::string("\0\0\x08\x01", 4) + big_endian(static_cast<unsigned>(labels.size())) + labels;
}

/// Two images of 1 x 3 pixels.
std::string images_file() {
  return std::string("\0\0\x08\x03", 4) + big_endian(2) + big_endian(1) + big_endian(3) +
         std::string("\x00\xff\x33\x01\x02\x03", 6);
}

std::string refusal(const std::string& bytes, std::size_t rank) {
  const TemporaryFile file("ballast_idx_test", bytes);
  try {
    example::read_idx(file.path(), rank);
  } catch (const example::InputError& error) {
    return std::string(error.what()).substr(file.path().size());
  }
  return "(not refused)";
}

/// As refusal(), of a whole set in the system's temporary directory.
std::string set_refusal(const std::string& part, const Dataset* like = nullptr) {
  const std::string directory = scratch_directory();
  try {
    example::read_mnist(directory, part, like);
  } catch (const example::InputError& error) {
    return std::string(error.what()).substr(directory.size() + 1);
  }
  return "(not refused)";
}

}  // namespace

TEST_CASE("idx: reads images as rows in [0, 1] with their labels", "[examples]") {
  const TemporaryFile images("ballast_a-images-idx3-ubyte", images_file());
  const TemporaryFile labels("ballast_a-labels-idx1-ubyte", labels_file(std::string("\x04\x01", 2)));
  const Dataset data = example::read_mnist(scratch_directory(), "ballast_a");

  CHECK(data.classes == 5);
  CHECK(data.labels == Eigen::Vector2i(4, 1));
  REQUIRE(data.inputs.rows() == 2);
  REQUIRE(data.inputs.cols() == 3);
  CHECK(data.inputs(0, 0) == 0.0f);
  CHECK(data.inputs(0, 1) == 1.0f);
  CHECK(data.inputs(0, 2) == 51.0f / 255.0f);
  CHECK(data.inputs(1, 2) == 3.0f / 255.0f);
}

TEST_CASE("idx: a damaged file is refused with the reason", "[examples]") {
  CHECK(refusal(images_file(), 3) == "(not refused)");
  CHECK(refusal("", 1) == ": is too short for the header of an IDX file");
  CHECK(refusal(labels_file("\x01"), 3) == ": is too short for the header of an IDX file");
  CHECK(refusal(images_file(), 1) == ": is not an IDX file of bytes in 1 dimensions");
  CHECK(refusal("plain text", 1) == ": is not an IDX file of bytes in 1 dimensions");
  CHECK(refusal(images_file() + "x", 3) == ": holds 7 values, its header says 6");
  const std::string cut = images_file().substr(0, images_file().size() - 1);
  CHECK(refusal(cut, 3) == ": holds 5 values, fewer than its header says, or none");
  const std::string huge = std::string("\0\0\x08\x03", 4) + std::string(12, '\xff') + "xyz";
  CHECK(refusal(huge, 3) == ": holds 3 values, fewer than its header says, or none");
}

TEST_CASE("idx: images and labels, training and test set must fit", "[examples]") {
  CHECK(set_refusal("ballast_none") == "ballast_none-images-idx3-ubyte: no such file, nor with .gz");

  const TemporaryFile images("ballast_b-images-idx3-ubyte", images_file());
  {
    const TemporaryFile labels("ballast_b-labels-idx1-ubyte", labels_file("\x01"));
    CHECK(set_refusal("ballast_b") == "ballast_b-labels-idx1-ubyte: holds 1 labels for 2 images");
  }
  const TemporaryFile labels("ballast_b-labels-idx1-ubyte", labels_file("\x01\x04"));
  Dataset train;
  train.inputs.setZero(1, 3);
  train.classes = 4;
  CHECK(set_refusal("ballast_b", &train) ==
        "ballast_b-labels-idx1-ubyte: label 1 is 4, expected [0, 4), as in the training set");
  train.inputs.setZero(1, 2);
  CHECK(set_refusal("ballast_b", &train) ==
        "ballast_b-images-idx3-ubyte: has images of 3 pixels, the training images 2");
}

namespace {

/// labels_file("\x01\x04") as gzip writes it.
const std::string compressed(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x63\x60\xe0\x60\x64\x60\x60\x60\x62\x64"
    "\x01\x00\x41\x59\xea\x8b\x0a\x00\x00\x00",
    30);

}  // namespace

#ifdef EXAMPLES_HAVE_ZLIB
TEST_CASE("idx: a gzip file is read as what it holds", "[examples]") {
  const TemporaryFile file("ballast_idx_test.gz", compressed);
  const example::IdxFile labels = example::read_idx(file.path(), 1);
  CHECK(labels.values == std::vector<std::uint8_t>{1, 4});

  CHECK(refusal(compressed.substr(0, compressed.size() - 6), 1).find(": cannot be uncompressed: ") == 0);
}
#else
TEST_CASE("idx: without zlib a gzip file is refused with what to do", "[examples]") {
  CHECK(refusal(compressed, 1) ==
        ": is compressed, and this program was built without zlib: run gunzip on it first");
}
#endif
