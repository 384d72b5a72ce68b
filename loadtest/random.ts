import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

export type Random = RandomGenerator;

/**
 * A generator of its own for each place that draws: the same for the same seed and numbers, whatever the others do.
 * User 7's third request is the same in every run.
 */
export function randomFor(seed: number, ...place: readonly number[]): Random {
  return xoroshiro128plus(place.reduce(mix, mix(0x9e3779b9, seed)));
}

/** From `from` (included) to `to` (excluded). */
export function uniform(random: Random, from: number, to: number): number {
  return from + (to - from) * uniformFloat64(random);
}

/** A whole number, both ends included. */
export function integer(random: Random, from: number, to: number): number {
  return from + Math.floor((to - from + 1) * uniformFloat64(random));
}

/** An index, as likely as its weight. */
export function weighted(random: Random, weights: readonly number[]): number {
  let rest = uniform(
    random,
    0,
    weights.reduce((sum, weight) => sum + weight, 0),
  );
  const found = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}

/** Mean 1, variance 1: gaps of a Poisson process. */
export function exponential(random: Random): number {
  return -Math.log1p(-uniformFloat64(random));
}

/**
 * Mean 1, variance 1 / shape: gaps that are burstier than Poisson's below shape 1, and more even above it.
 * Marsaglia and Tsang, ACM TOMS 26 (2000), with their boost for shapes below 1.
 */
export function gamma(random: Random, shape: number): number {
  if (shape < 1)
    return (gamma(random, shape + 1) * (shape + 1) * (1 - uniformFloat64(random)) ** (1 / shape)) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    const u = 1 - uniformFloat64(random);
    if (v > 0 && Math.log(u) < 0.5 * x * x + d - d * v + d * Math.log(v)) return (d * v) / shape;
  }
}

/** Box and Muller. */
function normal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log1p(-uniformFloat64(random)));
  return radius * Math.cos(2 * Math.PI * uniformFloat64(random));
}

/** Murmur3's finalizer: neighbouring numbers give unrelated generators. */
function mix(state: number, value: number): number {
  let h = (state ^ Math.imul(value, 0xcc9e2d51)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
