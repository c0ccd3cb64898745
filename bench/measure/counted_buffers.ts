/**
 * Bytes in a device's buffers, counted where they are made and destroyed: what a library really
 * takes, whatever it says.
 * @module
 */

export class CountedBuffers {
  #live = 0;
  #peak = 0;

  /** Counts from now on. */
  constructor(device: GPUDevice) {
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      let bytes = descriptor.size;
      this.#live += bytes;
      this.#peak = Math.max(this.#peak, this.#live);
      buffer.destroy = () => {
        this.#live -= bytes;
        bytes = 0;
        destroy();
      };
      return buffer;
    };
  }

  get live(): number {
    return this.#live;
  }

  /** The most bytes alive since the last `restart`. */
  get peak(): number {
    return this.#peak;
  }

  restart(): void {
    this.#peak = this.#live;
  }
}
