import { describe, expect, it } from "vitest";
import reference from "../../test/fixtures/objectives/statistics.json" with { type: "json" };
import { mean, standardDeviation } from "../base/statistics.js";
import {
  applyRewardScale,
  bestTemperature,
  brierScore,
  expectedCalibrationError,
  fitRewardScale,
  marginNll,
  marginPredictions,
  reliabilityBins,
} from "./calibration.js";

describe("reward scale", () => {
  it("gives the reference samples mean 0 and standard deviation 1", () => {
    const scaled = applyRewardScale(reference.x, fitRewardScale(reference.x));
    expect(mean(scaled)).toBeCloseTo(0, 12);
    expect(standardDeviation(scaled, 0)).toBeCloseTo(1, 12);
  });

  it("can only shift, and does not divide by a spread of 0", () => {
    expect(Array.from(applyRewardScale([3, 7], fitRewardScale([4, 6], { rescale: false })))).toEqual([-2, 2]);
    expect(fitRewardScale([4, 4])).toEqual({ shift: 4, scale: 1 });
  });
});

describe("calibration of margins, against numpy and scipy", () => {
  const predictions = marginPredictions(reference.flipped);

  it("negative log-likelihood, with hard and soft labels", () => {
    expect(marginNll(reference.margins, { labels: reference.labels })).toBeCloseTo(reference.softNll, 12);
    expect(marginNll(reference.flipped, { temperature: 2.5 })).toBeCloseTo(reference.hardNll, 12);
    expect(marginNll([1e6, -1e6], { labels: [1, 0] })).toBe(0);
  });

  it("best temperature", () => {
    expect(bestTemperature(reference.margins, reference.labels)).toBeCloseTo(reference.softTemperature, 5);
    expect(bestTemperature(reference.flipped)).toBeCloseTo(reference.hardTemperature, 5);
  });

  it("best temperature ends at its bounds for useless and for perfect margins", () => {
    expect(bestTemperature([-1, -2])).toBeCloseTo(1e6, 0);
    expect(bestTemperature([1, 2])).toBeCloseTo(1e-6, 9);
  });

  it("ECE and Brier score", () => {
    expect(expectedCalibrationError(predictions, { from: 0.5 })).toBeCloseTo(reference.ece, 10);
    expect(brierScore(predictions)).toBeCloseTo(reference.brier, 12);
  });

  it("reliability bins hold every pair, the certain ones in the last", () => {
    const bins = reliabilityBins(
      { probabilities: [0.5, 0.74, 0.76, 1], outcomes: [0, 1, 0, 1] },
      { bins: 2, from: 0.5 },
    );
    expect(bins).toEqual([
      { low: 0.5, high: 0.75, count: 2, predicted: 0.62, observed: 0.5 },
      { low: 0.75, high: 1, count: 2, predicted: 0.88, observed: 0.5 },
    ]);
  });

  it("a tie is half right", () => {
    expect(Array.from(marginPredictions([0]).outcomes)).toEqual([0.5]);
  });
});
