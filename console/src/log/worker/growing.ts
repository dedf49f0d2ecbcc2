/** Numbers in ascending order that only become more, 4 bytes each. */
export class Growing {
  length = 0;
  #values: Uint32Array<ArrayBufferLike> = new Uint32Array(256);

  push(value: number): void {
    if (this.length === this.#values.length) this.#grow(this.length + 1);
    this.#values[this.length++] = value;
  }

  append(values: Uint32Array): void {
    if (this.length + values.length > this.#values.length) this.#grow(this.length + values.length);
    this.#values.set(values, this.length);
    this.length += values.length;
  }

  at(index: number): number {
    return this.#values[index]!;
  }

  /** A copy of those from `index` on. */
  since(index: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.#values.subarray(index, this.length));
  }

  /** How many are below `value`: where it stands, or would. */
  before(value: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#values[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** -1 where it is not there. */
  indexOf(value: number): number {
    const index = this.before(value);
    return index < this.length && this.#values[index] === value ? index : -1;
  }

  clear(): void {
    this.length = 0;
  }

  #grow(least: number): void {
    const larger = new Uint32Array(Math.max(least, this.#values.length * 2));
    larger.set(this.#values.subarray(0, this.length));
    this.#values = larger;
  }
}
