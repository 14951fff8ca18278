// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "dataset.hpp"

#ifdef EXAMPLES_HAVE_ZLIB
#include <zlib.h>
#endif

namespace example {

/// An IDX file of unsigned bytes (Y. LeCun's format): two zeros, 8 for bytes, the number of dimensions, each
/// dimension in four bytes with the largest first, then the values.
struct IdxFile {
  std::vector<ballast::Index> dimensions;
  std::vector<std::uint8_t> values;
};

/// All bytes of a file, uncompressed if it is gzip.
inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
  std::vector<std::uint8_t> bytes;
#ifdef EXAMPLES_HAVE_ZLIB
  const gzFile file = gzopen(path.c_str(), "rb");  // reads what is not gzip as it stands
  if (file == nullptr) throw InputError(path, "cannot be opened");
  std::vector<std::uint8_t> block(1 << 20);
  int size;
  while ((size = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0) {
    bytes.insert(bytes.end(), block.begin(), block.begin() + size);
  }
  int status = Z_OK;
  const std::string reason = gzerror(file, &status);  // a file that ends too soon shows here only
  gzclose(file);
  if (status != Z_OK) throw InputError(path, "cannot be uncompressed: " + reason);
#else
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path, "cannot be opened");
  bytes.assign(std::istreambuf_iterator<char>(file), {});
  if (bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
    throw InputError(path, "is compressed, and this program was built without zlib: run gunzip on it first");
  }
#endif
  return bytes;
}

/// @param rank  number of dimensions that is expected: 1 for labels, 3 for images
/// @throws InputError naming the file and the reason
inline IdxFile read_idx(const std::string& path, std::size_t rank) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  const std::size_t header = 4 + 4 * rank;
  if (bytes.size() < header) throw InputError(path, "is too short for the header of an IDX file");
  if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != 8 || bytes[3] != rank) {
    throw InputError(path, "is not an IDX file of bytes in " + std::to_string(rank) + " dimensions");
  }
  IdxFile file;
  std::size_t expected = 1;
  const std::size_t held = bytes.size() - header;
  for (std::size_t at = 4; at < header; at += 4) {
    const std::size_t size = std::size_t(bytes[at]) << 24 | std::size_t(bytes[at + 1]) << 16 |
                             std::size_t(bytes[at + 2]) << 8 | std::size_t(bytes[at + 3]);
    file.dimensions.push_back(static_cast<ballast::Index>(size));
    if (size == 0 || size > held / expected) {  // also keeps the product from overflowing
      throw InputError(path,
                       "holds " + std::to_string(held) + " values, fewer than its header says, or none");
    }
    expected *= size;
  }
  if (held != expected) {
    throw InputError(
        path, "holds " + std::to_string(held) + " values, its header says " + std::to_string(expected));
  }
  file.values.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return file;
}

/// `directory/name`, or `directory/name.gz` if only that exists.
inline std::string find_idx(const std::string& directory, const std::string& name) {
  const std::string plain = (std::filesystem::path(directory) / name).string();
  if (std::filesystem::exists(plain)) return plain;
  if (std::filesystem::exists(plain + ".gz")) return plain + ".gz";
  throw InputError(plain, "no such file, nor with .gz");
}

/// The images and labels of one part ("train" or "t10k") of MNIST or a data set in its form; pixels in
/// [0, 1], an image a row.
/// @param like  the training set, when a test set must have its image size and its classes
inline Dataset read_mnist(const std::string& directory, const std::string& part,
                          const Dataset* like = nullptr) {
  const std::string image_path = find_idx(directory, part + "-images-idx3-ubyte");
  const std::string label_path = find_idx(directory, part + "-labels-idx1-ubyte");
  const IdxFile images = read_idx(image_path, 3);
  const IdxFile labels = read_idx(label_path, 1);
  const ballast::Index samples = images.dimensions[0];
  const ballast::Index pixels = images.dimensions[1] * images.dimensions[2];
  if (labels.dimensions[0] != samples) {
    throw InputError(label_path, "holds " + std::to_string(labels.dimensions[0]) + " labels for " +
                                     std::to_string(samples) + " images");
  }
  if (like && pixels != like->inputs.cols()) {
    throw InputError(image_path, "has images of " + std::to_string(pixels) + " pixels, the training images " +
                                     std::to_string(like->inputs.cols()));
  }
  using Bytes = Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Dataset data;
  data.inputs = Eigen::Map<const Bytes>(images.values.data(), samples, pixels).cast<float>() / 255.0f;
  data.labels = Eigen::Map<const Bytes>(labels.values.data(), samples, 1).cast<int>();
  data.classes = like ? like->classes : data.labels.maxCoeff() + 1;
  ballast::Index at = 0;
  if (data.labels.maxCoeff(&at) >= data.classes) {
    throw InputError(label_path, "label " + std::to_string(at) + " is " + std::to_string(data.labels[at]) +
                                     ", expected [0, " + std::to_string(data.classes) +
                                     "), as in the training set");
  }
  return data;
}

}  // namespace example
