/**
 * Ways from keyframe to keyframe, as the runtime goes them (runtime/control/interpolation.py).
 *
 * A way takes keyframes, K arrays of one length, and a time in [0, K - 1], where time i is keyframe
 * i; on a loop it goes on from the last one to the first, and time K is keyframe 0 again.
 */

const PARALLEL = 1e-8; // sine of an angle that has no plane of its own

/** Straight lines from keyframe to keyframe. */
export function linear(keyframes, time, loop) {
  const [left, share] = segment(keyframes.length, time, loop);
  const [a, b] = [keyframes[left], keyframes[(left + 1) % keyframes.length]];
  return a.map((number, i) => (1 - share) * number + share * b[i]);
}

/** A smooth curve through the keyframes (Catmull and Rom 1974); without a loop its ends are straight. */
export function cubic(keyframes, time, loop) {
  const K = keyframes.length;
  const [left, t] = segment(K, time, loop);
  const [before, a, b, behind] = [-1, 0, 1, 2].map((step) => keyframes[(left + step + K) % K]);
  const first = !loop && left === 0;
  const last = !loop && left === K - 2;
  const weights = [
    (-t + 2 * t ** 2 - t ** 3) / 2,
    (2 - 5 * t ** 2 + 3 * t ** 3) / 2,
    (t + 4 * t ** 2 - 3 * t ** 3) / 2,
    (-(t ** 2) + t ** 3) / 2,
  ];
  return a.map((number, i) => {
    const p = first ? 2 * number - b[i] : before[i];
    const q = last ? 2 * b[i] - number : behind[i];
    return weights[0] * p + weights[1] * number + weights[2] * b[i] + weights[3] * q;
  });
}

/** From latent to latent at an even speed along the great circle (Shoemake 1985). */
export function slerp(keyframes, time, loop) {
  const [left, share] = segment(keyframes.length, time, loop);
  const a = Float64Array.from(keyframes[left]);
  const b = Float64Array.from(keyframes[(left + 1) % keyframes.length]);
  const [lengthOfA, lengthOfB] = [lengthOf(a), lengthOf(b)];
  const start = a.map((number) => number / lengthOfA);
  const end = b.map((number) => number / lengthOfB);
  const cos = dot(start, end);
  let across = end.map((number, i) => number - cos * start[i]); // at a right angle to the start
  const sin = lengthOf(across);
  if (sin < PARALLEL) across = rightAngleTo(start);
  const scale = lengthOf(across);
  const angle = share * Math.atan2(sin, cos);
  const length = (1 - share) * lengthOfA + share * lengthOfB;
  const [along, aside] = [length * Math.cos(angle), (length * Math.sin(angle)) / scale];
  return Float32Array.from(start, (number, i) => along * number + aside * across[i]);
}

/** The keyframe before a time, and the share of the way to the next one. */
function segment(K, time, loop) {
  const whole = Math.floor(time);
  if (loop) return [whole % K, (time % K) - (whole % K)];
  const left = Math.min(Math.max(whole, 0), K - 2);
  return [left, time - left];
}

/** By way of the coordinate axis that is farthest from a direction of length 1. */
function rightAngleTo(direction) {
  const sizes = direction.map(Math.abs);
  const axis = sizes.indexOf(Math.min(...sizes));
  return direction.map((number, i) => (i === axis ? 1 : 0) - direction[axis] * number);
}

function lengthOf(vector) {
  return Math.sqrt(dot(vector, vector));
}

function dot(a, b) {
  return a.reduce((sum, number, i) => sum + number * b[i], 0);
}
