#include "margin_config.hpp"

#include <fmt/format.h>

#include "toml_section.hpp"

namespace shortfall {
namespace {

constexpr RealDomain multiplier_domain{"above 0 (at least 1e-9) and at most 1000000",
                                       [](double x) { return x >= 1e-9 && x <= 1e6; }};
constexpr RealDomain weight_domain{"from 0 to 10", [](double x) { return x >= 0 && x <= 10; }};
constexpr RealDomain share_domain{"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
constexpr RealDomain ratio_domain{"above 0 and at most 1",
                                  [](double x) { return x > 0 && x <= 1; }};
constexpr RealDomain confidence_domain{"at least 0.5 and below 1",
                                       [](double x) { return x >= 0.5 && x < 1; }};
constexpr RealDomain usd_domain{"from 0 to 1e15 USD", [](double x) { return x >= 0 && x <= 1e15; }};
constexpr RealDomain range_domain{"above 0 and at most 0.9",
                                  [](double x) { return x > 0 && x <= 0.9; }};
constexpr RealDomain vol_down_domain{"from 0 to 0.95",
                                     [](double x) { return x >= 0 && x <= 0.95; }};

constexpr Choice<bool> combinations[] = {{"larger", false}, {"sum", true}};

void read_maintenance(TomlSection& section, MarginConfig& margin) {
  const toml::node* const node = section.find("maintenance");
  if (!node) return;
  if (!node->is_table()) {
    double ratio = 1;
    section.real("maintenance", ratio, ratio_domain);
    margin.maintenance_ratio = ratio;
    return;
  }
  TomlSection own = section.table("maintenance");
  double confidence = 0.5;
  own.required_real("confidence", confidence, confidence_domain, "write its confidence");
  margin.maintenance_confidence_level = confidence;
  own.report_unknown_keys();
}

DependenceConfig read_dependence(TomlSection section) {
  DependenceConfig dependence;
  section.real("weight", dependence.weight, weight_domain);
  section.real("confidence", dependence.confidence_level, confidence_domain);
  section.choice("combine", dependence.is_sum, combinations);
  section.report_unknown_keys();
  return dependence;
}

StressConfig read_stress(TomlSection section) {
  StressConfig stress;
  std::filesystem::path file;
  if (section.path("file", file)) stress.file = file;
  section.boolean("grid", stress.has_grid);
  section.real("range", stress.range, range_domain);
  section.real("vol_up", stress.vol_up, weight_domain);
  section.real("vol_down", stress.vol_down, vol_down_domain);
  section.real("vol_power", stress.vol_power, share_domain);
  section.boolean("far_moves", stress.has_far_moves);
  if (!stress.has_grid && !stress.file)
    section.report("grid", "is false and there is no file: name a file, or leave the table out");
  section.report_unknown_keys();
  return stress;
}

ProcyclicalityConfig read_procyclicality(TomlSection section) {
  ProcyclicalityConfig procyclicality;
  if (!section.path("covariance", procyclicality.covariance))
    section.report_missing("covariance", "write the path of the stressed covariance");
  section.real("weight", procyclicality.weight, share_domain);
  section.report_unknown_keys();
  return procyclicality;
}

/// A table with nothing but the path of its file.
std::filesystem::path read_file(TomlSection section) {
  std::filesystem::path file;
  if (!section.path("file", file)) section.report_missing("file", "write the path of the file");
  section.report_unknown_keys();
  return file;
}

CollateralConfig read_collateral(TomlSection section) {
  CollateralConfig collateral;
  section.boolean("simulate", collateral.is_simulated);
  section.reals("haircuts", collateral.haircuts, share_domain);
  section.report_unknown_keys();
  return collateral;
}

}  // namespace

void read_margin(TomlSection section, MarginConfig& margin) {
  section.real("multiplier", margin.multiplier, multiplier_domain);
  section.real("sampling_uplift", margin.sampling_uplift, weight_domain);
  section.real("floor", margin.floor_usd, usd_domain);
  read_maintenance(section, margin);
  if (section.find("dependence")) margin.dependence = read_dependence(section.table("dependence"));
  if (section.find("liquidity"))
    margin.liquidity = LiquidityConfig{read_file(section.table("liquidity"))};
  if (section.find("stress")) margin.stress = read_stress(section.table("stress"));
  if (section.find("procyclicality"))
    margin.procyclicality = read_procyclicality(section.table("procyclicality"));
  if (section.find("funding")) margin.funding = FundingConfig{read_file(section.table("funding"))};
  if (section.find("short_option_minimum")) {
    TomlSection own = section.table("short_option_minimum");
    double rate = 0;
    own.required_real("rate", rate, share_domain, "write the share of the spot");
    margin.short_option_minimum_rate = rate;
    own.report_unknown_keys();
  }
  if (section.find("collateral")) margin.collateral = read_collateral(section.table("collateral"));
  section.report_unknown_keys();
}

}  // namespace shortfall
