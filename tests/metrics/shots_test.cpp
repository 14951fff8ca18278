#include <ballast/metrics/shots.hpp>

#include <optional>

#include "support/catch.hpp"

using ballast::ByShot;
using ballast::Mean;
using ballast::Shot;

TEST_CASE("shots: a group is reached by name or by shot", "[metrics]") {
  ByShot<int> groups{1, 2, 3};
  CHECK(groups[Shot::many] == 1);
  CHECK(groups[Shot::medium] == 2);
  CHECK(groups[Shot::few] == 3);
  groups[Shot::medium] = 7;
  CHECK(groups.medium == 7);
  const ByShot<int>& readonly = groups;
  CHECK(readonly[Shot::medium] == 7);
}

TEST_CASE("shots: a mean of nothing has no value", "[metrics]") {
  Mean mean;
  CHECK(mean.value() == std::nullopt);
  mean.add(1.0);
  mean.add(4.0);
  CHECK(mean.value() == 2.5);
  CHECK(mean.values() == 2);

  Mean rest;
  rest.add(10.0);
  mean.merge(rest);
  mean.merge(Mean());
  CHECK(mean.value() == 5.0);
}

TEST_CASE("shots: figures are the means of the groups that have samples", "[metrics]") {
  ByShot<Mean> means;
  means[Shot::many].add(0.25);
  means[Shot::many].add(0.75);
  means[Shot::few].add(0.0);
  const ballast::ShotFigures figures = ballast::figures(means);
  CHECK(figures.many == 0.5);
  CHECK(figures.medium == std::nullopt);
  CHECK(figures.few == 0.0);
}
