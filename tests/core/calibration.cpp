#include "gavel/calibration.hpp"

#include <limits>

#include "catch.hpp"
#include "gavel/operating_curve.hpp"

using namespace gavel;

TEST_CASE("log-odds become probabilities by slope and shift", "[core]") {
  CHECK(Calibration{}.probability(0) == 0.5);
  CHECK(Calibration{2, 0}.probability(std::log(3.0)) == Approx(0.9));      // odds of 3 squared
  CHECK(Calibration{1, std::log(2.0)}.probability(0) == Approx(2.0 / 3));  // odds of 1 doubled
}

TEST_CASE("isotonic calibration is linear between its corners and flat beyond them", "[core]") {
  const Calibration isotonic{1, 0, {{-2, 0.1}, {0, 0.1}, {1, 0.5}, {3, 0.9}}};
  CHECK(isotonic.probability(-100) == 0.1);
  CHECK(isotonic.probability(-2) == 0.1);
  CHECK(isotonic.probability(-1) == Approx(0.1));
  CHECK(isotonic.probability(0.25) == Approx(0.2));
  CHECK(isotonic.probability(1) == 0.5);
  CHECK(isotonic.probability(2) == Approx(0.7));
  CHECK(isotonic.probability(3) == 0.9);
  CHECK(isotonic.probability(std::numeric_limits<double>::infinity()) == 0.9);
  CHECK(std::isnan(isotonic.probability(std::numeric_limits<double>::quiet_NaN())));
  CHECK(Calibration{1, 0, {{5, 0.25}}}.probability(7) == 0.25);
}

TEST_CASE("the lower end of Wilson's interval is as published", "[core]") {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3
  CHECK(OperatingCurve::wilson_low(81, 263) == Approx(0.2553).margin(5e-5));
  CHECK(OperatingCurve::wilson_low(15, 148) == Approx(0.0624).margin(5e-5));
  CHECK(OperatingCurve::wilson_low(1, 29) == Approx(0.0061).margin(5e-5));
  CHECK(OperatingCurve::wilson_low(0, 20) == 0);
}

TEST_CASE("a precision is had at the threshold of most coverage, or not at all", "[core]") {
  const OperatingCurve curve{200, {{0.1, 200, 80}, {0.4, 100, 70}, {0.6, 60, 45}, {0.8, 25, 20}, {0.9, 10, 10}}};
  const auto at_least_75 = curve.at_precision(0.75);
  REQUIRE(at_least_75);
  CHECK(at_least_75->threshold == 0.6);
  CHECK(at_least_75->precision == 0.75);
  CHECK(at_least_75->precision_low < 0.75);
  CHECK(at_least_75->coverage == Approx(0.3));
  CHECK(at_least_75->selected == 60);
  CHECK(at_least_75->candidates == 200);
  CHECK(curve.at_precision(0.4)->coverage == 1);
  CHECK_FALSE(curve.at_precision(0.81));  // ten candidates of ten are too few to promise anything
  CHECK(curve.highest_precision() == 0.8);
  CHECK(OperatingCurve{10, {{0.5, 10, 10}}}.highest_precision() == 0);
}
