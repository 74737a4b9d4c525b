/**
 * NumPy's RandomState: the numbers that a seed stands for in the original tools and in the runtime.
 *
 * MT19937 (Matsumoto and Nishimura 1998) as NumPy seeds and reads it, and normal numbers by the
 * polar method (Marsaglia and Bray 1964), of whose pairs the second is kept for the next call. The
 * uniform numbers are NumPy's bit for bit; the normal ones go through the logarithm of the browser,
 * whose last bit of 53 may differ, and are the same as float32.
 */

const SIZE = 624; // words of the state
const MIDDLE = 397;

export class RandomState {
  #words = new Uint32Array(SIZE);
  #next = SIZE;
  #kept = null; // the second of a pair of normal numbers

  /** @param {number | number[]} seed - an integer in [0, 2^32), or several. */
  constructor(seed) {
    if (Array.isArray(seed)) this.#seedBySeveral(seed);
    else this.#seedByOne(seed);
  }

  /** A number in [0, 1), of 53 random bits. */
  random() {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** A normal number. */
  normal() {
    if (this.#kept !== null) {
      const second = this.#kept;
      this.#kept = null;
      return second;
    }
    let x, y, square;
    do {
      x = 2 * this.random() - 1;
      y = 2 * this.random() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.#kept = factor * x;
    return factor * y;
  }

  /** @returns {Float32Array} normal numbers, as many as asked for. */
  normals(count) {
    const numbers = new Float32Array(count);
    for (let i = 0; i < count; i++) numbers[i] = this.normal();
    return numbers;
  }

  /** @returns {Float32Array} numbers of [0, 1), as many as asked for. */
  uniforms(count) {
    const numbers = new Float32Array(count);
    for (let i = 0; i < count; i++) numbers[i] = this.random();
    return numbers;
  }

  #seedByOne(seed) {
    const words = this.#words;
    words[0] = seed;
    for (let i = 1; i < SIZE; i++) words[i] = Math.imul(1812433253, folded(words[i - 1])) + i;
  }

  #seedBySeveral(seeds) {
    const words = this.#words;
    this.#seedByOne(19650218);
    let [i, j] = [1, 0];
    const advance = () => {
      if (++i < SIZE) return;
      words[0] = words[SIZE - 1];
      i = 1;
    };
    for (let k = Math.max(SIZE, seeds.length); k > 0; k--) {
      words[i] = (words[i] ^ Math.imul(folded(words[i - 1]), 1664525)) + seeds[j] + j;
      advance();
      j = (j + 1) % seeds.length;
    }
    for (let k = SIZE - 1; k > 0; k--) {
      words[i] = (words[i] ^ Math.imul(folded(words[i - 1]), 1566083941)) - i;
      advance();
    }
    words[0] = 0x80000000; // so that the state is not all zero
  }

  #word() {
    if (this.#next === SIZE) this.#renew();
    let word = this.#words[this.#next++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #renew() {
    const words = this.#words;
    for (let i = 0; i < SIZE; i++) {
      const joined = (words[i] & 0x80000000) | (words[(i + 1) % SIZE] & 0x7fffffff);
      const twist = joined & 1 ? 0x9908b0df : 0;
      words[i] = words[(i + MIDDLE) % SIZE] ^ (joined >>> 1) ^ twist;
    }
    this.#next = 0;
  }
}

function folded(word) {
  return word ^ (word >>> 30);
}
