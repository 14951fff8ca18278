#include "../examples/support/chart.hpp"

#include <cstddef>
#include <string>

#include "../examples/support/repeat_options.hpp"
#include "support/catch.hpp"

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

}  // namespace

TEST_CASE("chart: draws every point inside the frame, with round ticks", "[examples]") {
  example::Chart chart("A & B", "x", "y < 1");
  chart.add({"line", example::Series::Style::line, {0, 2}, {10, 30}, {}});
  chart.add({"marks", example::Series::Style::marks, {0, 1, 2}, {12, 20, 28}, {1, 1, 1}});
  const std::string svg = chart.svg();
  CHECK(count(svg, "<polyline") == 1);
  CHECK(count(svg, "<circle") == 3);
  CHECK(svg.find("A &amp; B") != std::string::npos);
  CHECK(svg.find("y &lt; 1") != std::string::npos);
  CHECK(svg.find("points=\"70,365 615,40 \"") != std::string::npos);  // the corners of the frame
  CHECK(count(svg, ">20</text>") == 1);
  CHECK(svg.substr(svg.size() - 7) == "</svg>\n");
}

TEST_CASE("chart: one point, and a file that cannot be written", "[examples]") {
  example::Chart chart("", "", "");
  chart.add({"point", example::Series::Style::marks, {3}, {3}, {}});
  CHECK(chart.svg().find("nan") == std::string::npos);
  CHECK_THROWS_AS(chart.write("/no/such/directory/chart.svg"), example::InputError);
}

TEST_CASE("chart: the arguments of the smaller examples", "[examples]") {
  const auto parse = [](std::initializer_list<const char*> words) {
    std::vector<const char*> all(words);
    all.insert(all.begin(), "program");
    return example::parse_repeat_options(static_cast<int>(all.size()), all.data(), "--seeds", {3, "a.svg"});
  };
  CHECK(parse({}).repeats == 3);
  CHECK(parse({"--seeds", "7", "--svg", "b.svg"}).repeats == 7);
  CHECK(parse({"--svg", "b.svg"}).svg == "b.svg");
  CHECK(parse({"--help"}).help);
  CHECK_THROWS_AS(parse({"--seeds"}), example::InputError);
  CHECK_THROWS_AS(parse({"--seeds", "0"}), example::InputError);
  CHECK_THROWS_AS(parse({"--seeds", "2x"}), example::InputError);
  CHECK_THROWS_AS(parse({"--trials", "2"}), example::InputError);
}
