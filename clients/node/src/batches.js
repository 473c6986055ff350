import { EVENTS_PER_MESSAGE_MAX, MESSAGE_BYTES_MAX } from "./contract.generated.js";
import { isFinal, NotDelivered } from "./errors.js";
import { batchOf } from "./messages.js";
import { backOff } from "./waiting.js";

const MESSAGE_FRAME_BYTES = 1024;

/**
 * Sends events in the order in which they came, one message at a time. While one is on its way the next ones gather, so that nobody waits for
 * a timer and a busy process sends few messages.
 */
export class Batches {
  #transport;
  #limits;
  #waiting = [];
  #running = null;
  #stopped = new AbortController();

  constructor(transport, { batchEventsMax, queueEventsMax, retrySeconds }) {
    this.#transport = transport;
    this.#limits = { eventsMax: Math.min(batchEventsMax, EVENTS_PER_MESSAGE_MAX), queueEventsMax, retrySeconds };
  }

  /** Resolves once the broker has confirmed the event; `json` is what is sent of it, the same at each attempt. */
  add(event, json) {
    if (this.#stopped.signal.aborted) return Promise.reject(new NotDelivered("the client is closed", [event]));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, json, resolve, reject, since: Date.now() });
      this.#running ??= this.#run();
    });
  }

  /** Whether so many more events may wait. */
  hasRoomFor(count) {
    return this.#waiting.length + count <= this.#limits.queueEventsMax;
  }

  /** Resolves once nothing waits any more. */
  async drained() {
    await this.#running;
  }

  /** What still waits fails, and so does what comes. */
  stop() {
    this.#stopped.abort();
  }

  async #run() {
    await undefined; // whoever records many in one go sends them together
    while (this.#waiting.length) {
      const batch = this.#take();
      try {
        await this.#deliver(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { event, reject } of batch) reject(new NotDelivered(error.message, [event], { cause: error }));
      }
    }
    this.#running = null;
  }

  #take() {
    let bytes = MESSAGE_FRAME_BYTES;
    let count = 0;
    for (const { json } of this.#waiting) {
      bytes += Buffer.byteLength(json) + 1;
      if (count === this.#limits.eventsMax || (count && bytes > MESSAGE_BYTES_MAX)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #deliver(batch) {
    const message = batchOf(batch.map(({ json }) => json));
    const until = batch[0].since + this.#limits.retrySeconds * 1000;
    for (let attempt = 0; ; attempt++) {
      if (this.#stopped.signal.aborted) throw new Error("the client was closed before");
      try {
        return await this.#transport.publish(message);
      } catch (error) {
        const left = until - Date.now();
        if (left <= 0 || isFinal(error) || this.#stopped.signal.aborted) throw error;
        await backOff(attempt, left / 1000, this.#stopped.signal);
      }
    }
  }
}
