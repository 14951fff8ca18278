// SPDX-License-Identifier: MIT
// The main of every family: runs its cases and prints one row each.
//
//     path    ours    against    ratio    goal    met

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "peers/peers.hpp"
#include "support/cases.hpp"

namespace bench {
namespace {

enum class Sense { at_least, at_most };

struct Goal {
  Sense sense;
  double ratio;
  bool stated;  ///< false: measured and shown, held to nothing
};

using Key = std::pair<std::string, std::string>;  // path, against

struct Settings {
  Effort effort = thorough;
  bool all = false;
  bool header = true;
  std::string filter;
  std::string against;
  std::string goals = BALLAST_BENCH_GOALS;
  std::string rows;
};

Settings settings;
std::map<Key, Goal> goals;

void read_goals() {
  std::ifstream file(settings.goals);
  if (!file) throw std::runtime_error("cannot read " + settings.goals);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream fields(line.substr(0, line.find('#')));
    std::string path, against, sense, ratio;
    if (!(fields >> path)) continue;
    fields >> against >> sense >> ratio;
    const std::string rest = fields ? std::string(std::istreambuf_iterator<char>(fields), {}) : "";
    if (!fields || (sense != ">=" && sense != "<=") || rest.find_first_not_of(' ') != std::string::npos) {
      throw std::runtime_error(settings.goals + ":" + std::to_string(number) +
                               ": expected path, against, >= or <=, and a ratio or -");
    }
    const bool stated = ratio != "-";
    goals[{path, against}] = {sense == ">=" ? Sense::at_least : Sense::at_most,
                              stated ? std::stod(ratio) : 0.0, stated};
  }
}

std::string duration(double seconds) {
  const char* units[] = {"s", "ms", "us", "ns"};
  int unit = 0;
  while (unit < 3 && seconds < 1) {
    seconds *= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.4g %s", seconds, units[unit]);
  return text;
}

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

void print_row(const std::string& path, const std::string& ours, const std::string& against,
               const std::string& ratio, const std::string& goal, const std::string& met) {
  std::printf("%-56s %10s  %-20s %8s  %8s  %s\n", path.c_str(), ours.c_str(), against.c_str(), ratio.c_str(),
              goal.c_str(), met.c_str());
  std::fflush(stdout);
}

/// Prints the table as cases finish, and appends the rows to a file: path, against, seconds of ours, ratio,
/// sense, goal (or -), separated by tabs.
class Table : public benchmark::BenchmarkReporter {
 public:
  explicit Table(std::map<std::string, Key> keys) : keys_(std::move(keys)) {
    if (!settings.rows.empty()) rows_.open(settings.rows, std::ios::app);
  }

  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) report(run);
  }

  [[nodiscard]] bool failed() const { return failed_; }

 private:
  void report(const Run& run) {
    const auto& [path, against] = keys_.at(run.run_name.function_name);
    if (run.error_occurred) {
      failed_ = true;
      std::cerr << path << " against " << against << ": " << run.error_message << '\n';
      return;
    }
    const auto found = goals.find({path, against});
    const Goal goal = found == goals.end() ? Goal{Sense::at_least, 0.0, false} : found->second;
    const bool at_least = goal.sense == Sense::at_least;
    const double speedup = run.counters.at("reference_per_ours");
    const double ratio = at_least ? speedup : 1 / speedup;
    const bool met = at_least ? ratio >= goal.ratio : ratio <= goal.ratio;
    const std::string sense = at_least ? ">=" : "<=";
    print_row(path, duration(run.counters.at("ours")), against, decimal(ratio),
              goal.stated ? sense + " " + decimal(goal.ratio) : "-",
              !goal.stated ? "-"
              : met        ? "yes"
                           : "NO");
    if (rows_.is_open()) {
      rows_ << path << '\t' << against << '\t' << run.counters.at("ours") << '\t' << ratio << '\t' << sense
            << '\t' << (goal.stated ? decimal(goal.ratio) : "-") << std::endl;
    }
  }

  std::map<std::string, Key> keys_;
  std::ofstream rows_;
  bool failed_ = false;
};

std::map<std::string, Key> keys;

constexpr const char* usage =
    "options:\n"
    "  --filter=TEXT   only cases with TEXT in 'path against'\n"
    "  --against=NAME  only cases against NAME\n"
    "  --quick         a brief run: rougher ratios\n"
    "  --all           also the cases without a goal\n"
    "  --goals=FILE    another table of goals\n"
    "  --rows=FILE     append the rows, separated by tabs\n"
    "  --no-header     rows only\n";

void read_arguments(int argc, char** argv) {
  const std::pair<const char*, std::string*> texts[] = {{"--filter=", &settings.filter},
                                                        {"--against=", &settings.against},
                                                        {"--goals=", &settings.goals},
                                                        {"--rows=", &settings.rows}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto text = std::find_if(std::begin(texts), std::end(texts),
                                   [&](const auto& known) { return argument.rfind(known.first, 0) == 0; });
    if (text != std::end(texts)) {
      *text->second = argument.substr(std::strlen(text->first));
    } else if (argument == "--quick") {
      settings.effort = brief;
    } else if (argument == "--all") {
      settings.all = true;
    } else if (argument == "--no-header") {
      settings.header = false;
    } else {
      throw std::runtime_error("unknown option " + argument + "\n" + usage);
    }
  }
}

/// Freed memory stays mapped, as in a training loop that has warmed up: a peer that allocates its results
/// would otherwise pay a page fault for every 4 KiB of them.
void keep_pages() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 2000 << 20);
  mallopt(M_TOP_PAD, 256 << 20);
}

}  // namespace

void add(const std::string& kernel, const std::string& parameters, const std::string& against,
         std::function<Pair()> make) {
  const std::string path = kernel + "/" + parameters + "/" + BALLAST_BENCH_ARCH;
  if (!settings.all && goals.count({path, against}) == 0) return;
  if (!settings.against.empty() && settings.against != against) return;
  if ((path + " " + against).find(settings.filter) == std::string::npos) return;
  const std::string name = kernel + "/" + against + "/" + parameters;
  keys[name] = {path, against};
  benchmark::RegisterBenchmark(
      name.c_str(),
      [make = std::move(make)](benchmark::State& state) { run_paired(state, make(), settings.effort.slice); })
      ->Iterations(settings.effort.rounds)
      ->UseManualTime();
}

}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::keep_pages();
    bench::peers::one_thread();
    bench::read_arguments(argc, argv);
    bench::read_goals();
    if (bench::settings.header) bench::print_row("path", "ours", "against", "ratio", "goal", "met");
    bench::register_cases();
    if (bench::keys.empty()) return EXIT_SUCCESS;
    int count = 1;
    benchmark::Initialize(&count, argv);
    bench::Table table(bench::keys);
    benchmark::RunSpecifiedBenchmarks(&table, ".");
    return table.failed() ? EXIT_FAILURE : EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
