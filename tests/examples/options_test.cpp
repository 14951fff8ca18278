#include "../examples/support/options.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

example::Options parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "program");
  return example::parse_options(static_cast<int>(arguments.size()), arguments.data());
}

std::string refusal(const std::vector<const char*>& arguments) {
  try {
    parse(arguments);
  } catch (const example::InputError& error) {
    return error.what();
  }
  return "(not refused)";
}

}  // namespace

TEST_CASE("options: defaults and every option", "[examples]") {
  const auto defaults = parse({});
  CHECK(defaults.seeds == 5);
  CHECK_FALSE(defaults.epochs);
  CHECK_FALSE(defaults.help);

  const auto files =
      parse({"--train", "a.csv", "--test", "b.csv", "--seeds", "2", "--epochs", "7", "--csv", "out.csv"});
  CHECK(files.train == "a.csv");
  CHECK(files.test == "b.csv");
  CHECK(files.csv == "out.csv");
  CHECK(files.seeds == 2);
  CHECK(files.epochs == 7);
  CHECK(parse({"--fashion-mnist", "dir"}).fashion_mnist == "dir");
  CHECK(parse({"--help"}).help);
}

TEST_CASE("options: mistakes are refused with what is wrong", "[examples]") {
  CHECK(refusal({"--sedes", "3"}) == "unknown option '--sedes' (see --help)");
  CHECK(refusal({"--seeds"}) == "--seeds needs a value (see --help)");
  for (const char* bad : {"0", "-1", "2x", "", "1.5", "99999999999"}) {
    CHECK(refusal({"--seeds", bad}) ==
          "--seeds is '" + std::string(bad) + "', expected a whole number from 1 (see --help)");
  }
  CHECK(refusal({"--train", "a"}) == "--train and --test go together (see --help)");
  CHECK(refusal({"--train", "a", "--test", "b", "--fashion-mnist", "d"}) ==
        "--fashion-mnist excludes --train and --test (see --help)");
}
