#include "../examples/support/table.hpp"

#include <cmath>
#include <sstream>

#include "support/catch.hpp"

using example::Table;

TEST_CASE("table: mean and deviation over runs", "[examples]") {
  const auto two = example::spread({1.0, 2.0});
  REQUIRE(two);
  CHECK(two->mean == 1.5);
  REQUIRE(two->deviation);
  CHECK(std::abs(*two->deviation - std::sqrt(0.5)) <= 1e-15);

  const auto one = example::spread({1.0});
  REQUIRE(one);
  CHECK_FALSE(one->deviation);
  CHECK_FALSE(example::spread({}));
  CHECK_FALSE(example::spread({1.0, std::nullopt}));
}

TEST_CASE("table: prints a row per method, in percent", "[examples]") {
  Table table({"balanced", "many", "medium", "few", "overall"}, 100, 1);
  table.add("first", {0.5, 0.75, 0.5, std::nullopt, 0.625}, 1.0);
  table.add("the second", {1.0, 1.0, 1.0, std::nullopt, 1.0}, 0.25);
  table.add("first", {0.6, 0.75, 0.5, std::nullopt, 0.625}, 2.0);
  std::ostringstream text;
  table.print(text);
  CHECK(text.str() ==
        "            balanced    many        medium      few         overall     seconds\n"
        "first       55.0 ± 7.1  75.0 ± 0.0  50.0 ± 0.0     -        62.5 ± 0.0     1.50\n"
        "the second  100.0       100.0       100.0          -        100.0          0.25\n");

  std::ostringstream csv;
  table.write_csv(csv);
  CHECK(csv.str() ==
        "method,seeds,balanced,balanced_deviation,many,many_deviation,medium,medium_deviation,few,few_"
        "deviation,"
        "overall,overall_deviation,seconds\n"
        "\"first\",2,55.000,7.071,75.000,0.000,50.000,0.000,,,62.500,0.000,1.5000\n"
        "\"the second\",1,100.000,,100.000,,100.000,,,,100.000,,0.2500\n");
}
