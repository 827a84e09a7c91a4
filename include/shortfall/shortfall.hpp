// The whole public interface. The shortest complete program:
//   auto result = shortfall::run("run.toml");
//   for (auto& a : result.margins) std::cout << a.account << ' ' << a.margin_usd << '\n';
#pragma once

#include "shortfall/attribution.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/backtest.hpp"
#include "shortfall/book.hpp"
#include "shortfall/calibrate.hpp"
#include "shortfall/compare.hpp"
#include "shortfall/config.hpp"
#include "shortfall/error.hpp"
#include "shortfall/factor_model.hpp"
#include "shortfall/importance.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/plan.hpp"
#include "shortfall/report.hpp"
#include "shortfall/scheduler.hpp"
#include "shortfall/schemes.hpp"
#include "shortfall/selftest.hpp"
#include "shortfall/trace.hpp"
#include "shortfall/whatif.hpp"
