#include <iostream>
#include <shortfall/shortfall.hpp>

int main(int, char** argv) {
  const auto result = shortfall::run(argv[1]);
  for (const auto& account : result.margins)
    std::cout << account.account << ' ' << account.margin_usd << '\n';
}
