import { Batches } from "./batches.js";
import { checkedJson } from "./contract.js";
import { ContractError, isFinal, NoAnswer, NotDelivered, Refused, TollbookError } from "./errors.js";
import { newEvent, present, uuidv7 } from "./events.js";
import { RabbitTransport } from "./rabbitmq.js";
import { RedisTransport } from "./redis.js";
import { backOff, within } from "./waiting.js";

const DEFAULTS = {
  batchEventsMax: 100,
  queueEventsMax: 10_000,
  retrySeconds: 60, // of an event, from when it was recorded
  timeoutSeconds: 5, // of one attempt at the broker
  answerSeconds: 2, // of one attempt at an answer
  answerAttempts: 5,
  asksMax: 32, // at once; on Redis each has a connection
  numbered: true,
  ownExchanges: false,
};
const OTHERS = ["brokerUrl", "tls", "onError"];

/** Tells Tollbook what AI calls cost, and asks before they are made. One per process: it keeps connections open until `close`. */
export class Client {
  #options;
  #transport;
  #batches;
  #producerId = uuidv7();
  #seq = 0;

  constructor(options = {}) {
    for (const [name, value] of Object.entries(options)) {
      if (!(name in DEFAULTS) && !OTHERS.includes(name)) throw new ContractError(name, value, "is not an option of the client", "index.d.ts has them");
    }
    this.#options = { ...DEFAULTS, ...options };
    this.#transport = transportTo(this.#options.brokerUrl ?? process.env.CELERY_BROKER_URL, this.#options);
    this.#batches = new Batches(this.#transport, this.#options);
  }

  /**
   * Resolves to the event's id once the broker holds the event; safe to repeat with the same event: it is charged once. Where no confirmation
   * comes, the same event is sent again until `retrySeconds` have passed.
   *
   * Rejects with ContractError (never sent) or NotDelivered (`events` has it, to be recorded again as it is).
   */
  record(fields) {
    return this.#told(this.#recordAll([fields]).then(([id]) => id));
  }

  /** As `record`, of many: all are checked before any is sent. NotDelivered has those that were not confirmed. */
  recordMany(list) {
    return this.#told(this.#recordAll([...list]));
  }

  /** May this user make a call of about this cost? Reserves nothing. Rejects with NoAnswer or Refused. */
  async check(question) {
    return await this.#ask("balance.check", question);
  }

  /**
   * Keeps money for a call: `allowed` says whether it may be made. The same `key`, made where there is none, never keeps the money twice.
   * Rejects with NoAnswer (its `key` may be released, or its event sent all the same) or Refused.
   */
  async authorise(question) {
    const asked = { key: uuidv7(), ...present(question) };
    try {
      return new Hold(this, asked.mandate_id, asked.key, await this.#ask("hold.authorise", asked));
    } catch (error) {
      if (error instanceof TollbookError) error.key = asked.key;
      throw error;
    }
  }

  /** Keeps a hold for so long from now: `{ mandate_id, key, ttl_seconds }`. */
  async renew(question) {
    return await this.#ask("hold.renew", question);
  }

  /** Gives back what a hold still keeps, where nothing was used: `{ mandate_id, key }`. */
  async release(question) {
    return await this.#ask("hold.release", question);
  }

  /** True once nothing that was recorded so far waits any more, confirmed or failed; false if that is not so in time. */
  async flush(timeoutSeconds = 10) {
    const late = Symbol("late");
    try {
      await within(timeoutSeconds, this.#batches.drained(), () => late);
      return true;
    } catch (error) {
      if (error === late) return false;
      throw error;
    }
  }

  /** Flushes, then ends: what could not be sent in this time fails with NotDelivered. True if there was none. */
  async close(timeoutSeconds = 10) {
    const isFlushed = await this.flush(timeoutSeconds);
    this.#batches.stop();
    await this.#transport.close();
    return isFlushed;
  }

  async #recordAll(list) {
    const events = list.map(newEvent);
    events.forEach(checkedJson);
    if (!this.#batches.hasRoomFor(events.length)) {
      throw new NotDelivered(`${this.#options.queueEventsMax} events wait already`, events);
    }
    const numbered = events.map((event) => this.#numbered(event));
    const ended = await Promise.allSettled(numbered.map((event) => this.#batches.add(event, checkedJson(event))));
    const failed = ended.filter(({ reason }) => reason).map(({ reason }) => reason);
    if (failed.length) {
      throw new NotDelivered(failed[0].cause?.message ?? failed[0].message, failed.flatMap((one) => one.events), { cause: failed[0].cause });
    }
    return events.map(({ event_id }) => event_id);
  }

  #numbered(event) {
    const isLeft = !this.#options.numbered || "producer_id" in event || "producer_seq" in event;
    return isLeft ? event : { ...event, producer_id: this.#producerId, producer_seq: ++this.#seq };
  }

  // With onError nobody has to await what he records: a failure is told there, and ends no process.
  #told(promise) {
    const { onError } = this.#options;
    if (onError) promise.catch(onError);
    return promise;
  }

  async #ask(task, question) {
    const { answerAttempts, answerSeconds } = this.#options;
    let last = new NoAnswer(task, `not within ${answerSeconds} s, ${answerAttempts} times`);
    for (let attempt = 0; attempt < answerAttempts; attempt++) {
      try {
        const answer = await this.#transport.ask(task, present(question), answerSeconds);
        if (answer === null) continue;
        const { result, error } = JSON.parse(answer);
        if (!error) return result;
        last = new Refused(error.kind, error.message);
        if (error.kind !== "unavailable") throw last;
      } catch (error) {
        if (error instanceof Refused) throw error;
        last = new NoAnswer(task, error.message, { cause: error });
        if (isFinal(error)) throw last;
      }
      if (attempt + 1 < answerAttempts) await backOff(attempt, answerSeconds);
    }
    throw last;
  }
}

/** What an authorisation answered, and what can be done with it. */
class Hold {
  #client;
  #name;

  constructor(client, mandate_id, key, answer) {
    this.#client = client;
    this.#name = { mandate_id, key };
    Object.assign(this, answer);
    this.key = key; // an answer that keeps nothing has none
  }

  /** See `Client.renew`. */
  async renew(ttl_seconds) {
    return await this.#client.renew({ ...this.#name, ttl_seconds });
  }

  /** See `Client.release`. */
  async release() {
    return await this.#client.release(this.#name);
  }
}

function transportTo(brokerUrl, options) {
  if (!brokerUrl) throw new ContractError("brokerUrl", brokerUrl, "is missing", "name it, or set CELERY_BROKER_URL");
  let url;
  try {
    url = new URL(brokerUrl);
  } catch {
    throw new ContractError("brokerUrl", "(not shown)", "is no URL", "such as redis://user:password@host:6379/0");
  }
  if (["redis:", "rediss:"].includes(url.protocol)) return new RedisTransport(url, options);
  if (["amqp:", "amqps:"].includes(url.protocol)) return new RabbitTransport(url, options);
  throw new ContractError("brokerUrl", url.protocol, "is not served", "redis, rediss, amqp and amqps are");
}
