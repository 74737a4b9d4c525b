/** The numbers of a bundle besides its graphs: one file, and a table of what lies where. */

export class Arrays {
  /**
   * @param {ArrayBuffer} bytes - of the file.
   * @param {Object<string, {offset: number, length: number, factor: ?number}>} table - by name;
   *   float32, or where there is a factor, int16 to be multiplied by it.
   */
  constructor(bytes, table) {
    this.bytes = bytes;
    this.table = table;
    this.unpacked = new Map();
  }

  /** @returns {?Float32Array} the numbers of a name, or null. */
  find(name) {
    const entry = this.table[name];
    if (!entry) return null;
    const { offset, length, factor } = entry;
    if (factor === undefined) return new Float32Array(this.bytes, offset, length);
    if (!this.unpacked.has(name)) {
      const integers = new Int16Array(this.bytes, offset, length);
      this.unpacked.set(name, Float32Array.from(integers, (integer) => integer * factor));
    }
    return this.unpacked.get(name);
  }
}
