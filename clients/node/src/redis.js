import { randomUUID } from "node:crypto";
import { createClient, ErrorReply } from "@redis/client";
import { questionOf } from "./messages.js";
import { within } from "./waiting.js";

/** Sends to and asks over Redis or Valkey. A connection is made when it is needed, and thrown away after any doubt about it. */
export class RedisTransport {
  #url;
  #tls;
  #timeoutSeconds;
  #sender = null;
  #idle = [];
  #asking = 0;
  #turns = [];
  #asksMax;

  constructor(url, { tls, timeoutSeconds, asksMax }) {
    this.#url = url.href;
    this.#tls = url.protocol === "rediss:" ? { tls: true, ...tls } : {};
    this.#timeoutSeconds = timeoutSeconds;
    this.#asksMax = asksMax;
  }

  /** Returns once the broker has answered that it holds the message; throws if it didn't, or not in time. */
  async publish(message) {
    this.#sender ??= this.#connect();
    const mine = this.#sender;
    await this.#push(mine, message, () => {
      if (this.#sender === mine) this.#sender = null;
    });
  }

  /** The answer's text, or null if there was none in time. Each question that waits has a connection of its own. */
  async ask(task, fields, seconds) {
    const until = Date.now() + seconds * 1000;
    if (!(await this.#turn(seconds))) return null;
    const client = this.#idle.pop() ?? this.#connect();
    try {
      const replyTo = `tollbook.reply.${randomUUID()}`;
      await this.#push(client, questionOf(task, fields, replyTo), () => {});
      const left = Math.max(0.01, (until - Date.now()) / 1000);
      const answer = await within(left + 1, (await client).blPop(replyTo, left), late);
      this.#idle.push(client);
      return answer === null ? null : answer.element;
    } catch (error) {
      drop(client);
      throw error;
    } finally {
      this.#asking--;
      this.#turns.shift()?.();
    }
  }

  async close() {
    for (const client of [this.#sender, ...this.#idle.splice(0)]) drop(client);
    this.#sender = null;
  }

  async #push(connecting, message, forget) {
    try {
      const client = await connecting;
      await within(this.#timeoutSeconds, client.lPush(message.queue, envelopeOf(message)), late);
    } catch (error) {
      if (!(error instanceof ErrorReply)) {
        forget();
        drop(connecting);
      }
      throw error;
    }
  }

  async #connect() {
    const connectTimeout = this.#timeoutSeconds * 1000;
    const socket = { ...this.#tls, connectTimeout, reconnectStrategy: false };
    const client = createClient({ url: this.#url, disableOfflineQueue: true, socket });
    client.on("error", () => {}); // whoever uses it is told
    try {
      await within(this.#timeoutSeconds, client.connect(), late);
    } catch (error) {
      if (client.isOpen) client.destroy();
      throw error;
    }
    return client;
  }

  async #turn(seconds) {
    if (this.#asking >= this.#asksMax) {
      let mine;
      const turn = new Promise((resolve) => this.#turns.push((mine = resolve)));
      try {
        await within(seconds, turn, late);
      } catch {
        this.#turns = this.#turns.filter((one) => one !== mine);
        return false;
      }
    }
    this.#asking++;
    return true;
  }
}

function envelopeOf({ id, queue, headers, body, replyTo }) {
  const delivery = { delivery_tag: id, delivery_mode: 2, delivery_info: { exchange: "", routing_key: queue } };
  return JSON.stringify({
    body,
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: { id, ...headers },
    properties: { correlation_id: id, reply_to: replyTo, ...delivery },
  });
}

function late() {
  return new Error("the broker did not answer in time");
}

function drop(connecting) {
  connecting?.then((client) => client.isOpen && client.destroy()).catch(() => {});
}
