import { randomUUID } from "node:crypto";
import amqp from "amqplib";
import { questionOf } from "./messages.js";
import { within } from "./waiting.js";

/** Sends to and asks over RabbitMQ. The connection is made when it is needed, and thrown away after any doubt about it. */
export class RabbitTransport {
  #address;
  #tls;
  #timeoutSeconds;
  #ownExchanges;
  #line = null;

  constructor(url, { tls, timeoutSeconds, ownExchanges }) {
    this.#address = {
      protocol: url.protocol.slice(0, -1),
      hostname: url.hostname,
      port: Number(url.port) || (url.protocol === "amqps:" ? 5671 : 5672),
      username: decodeURIComponent(url.username) || "guest",
      password: decodeURIComponent(url.password) || "guest",
      vhost: decodeURIComponent(url.pathname.slice(1)) || "/",
      heartbeat: 10,
    };
    this.#tls = tls ?? {};
    this.#timeoutSeconds = timeoutSeconds;
    this.#ownExchanges = ownExchanges;
  }

  /** Returns once the broker has confirmed that a queue holds the message; throws if it didn't, or not in time. */
  async publish(message) {
    await this.#withLine((line) => line.publish(message, this.#ownExchanges));
  }

  /** The answer's text, or null if there was none in time. */
  async ask(task, fields, seconds) {
    const until = Date.now() + seconds * 1000;
    return await this.#withLine(async (line) => {
      await line.listen();
      const message = questionOf(task, fields, line.replyTo);
      const answer = line.answerTo(message.id);
      answer.catch(() => {});
      try {
        await line.publish(message, this.#ownExchanges);
        return await within(Math.max(0, (until - Date.now()) / 1000), answer, () => null);
      } catch (error) {
        if (error === null) return null;
        throw error;
      } finally {
        line.forget(message.id);
      }
    });
  }

  async close() {
    const line = this.#line;
    this.#line = null;
    await line?.then((open) => open.end()).catch(() => {});
  }

  async #withLine(use) {
    this.#line ??= Line.open(this.#address, this.#tls, this.#timeoutSeconds);
    const mine = this.#line;
    try {
      return await use(await mine);
    } catch (error) {
      if (this.#line === mine) this.#line = null;
      mine.then((line) => line.end()).catch(() => {});
      throw error;
    }
  }
}

/** One connection with a channel on which publishing is confirmed, and a queue of its own for answers. */
class Line {
  #connection;
  #channel;
  #timeoutSeconds;
  #listening = null;
  #returned = new Set();
  #answers = new Map();
  replyTo = `tollbook.reply.${randomUUID()}`;

  static async open(address, tls, timeoutSeconds) {
    const line = new Line();
    line.#timeoutSeconds = timeoutSeconds;
    const connecting = amqp.connect(address, { ...tls, timeout: timeoutSeconds * 1000 });
    const opening = connecting.then((connection) => line.#prepare(connection));
    await within(timeoutSeconds, opening, late).catch((error) => {
      connecting.then((connection) => connection.close()).catch(() => {});
      throw error;
    });
    return line;
  }

  async #prepare(connection) {
    this.#connection = connection;
    connection.on("error", () => {}); // whoever uses it is told
    connection.on("close", () => this.#lost());
    this.#channel = await connection.createConfirmChannel();
    this.#channel.on("error", () => {});
    this.#channel.on("close", () => this.#lost());
    this.#channel.on("return", ({ properties }) => this.#returned.add(properties.messageId));
  }

  /** Returns once answers can come: who only sends makes no queue. */
  async listen() {
    this.#listening ??= within(this.#timeoutSeconds, this.#consume(), late);
    await this.#listening;
  }

  async #consume() {
    await this.#channel.assertQueue(this.replyTo, { exclusive: true, autoDelete: true, durable: false });
    await this.#channel.consume(this.replyTo, (message) => this.#answered(message), { noAck: true });
  }

  async publish({ id, queue, headers, body, replyTo }, ownExchanges) {
    const options = { mandatory: true, persistent: true, messageId: id, correlationId: id, replyTo };
    const content = { contentType: "application/json", contentEncoding: "utf-8", headers: { id, ...headers } };
    const confirmed = new Promise((resolve, reject) => {
      const told = (error) => (error ? reject(error) : resolve());
      this.#channel.publish(ownExchanges ? queue : "", queue, Buffer.from(body), { ...options, ...content }, told);
    });
    await within(this.#timeoutSeconds, confirmed, late);
    if (this.#returned.delete(id)) throw new Error(`there is no queue ${queue}: start a worker once, it declares the queues`);
  }

  answerTo(id) {
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  forget(id) {
    this.#answers.delete(id);
  }

  async end() {
    this.#lost();
    await this.#connection.close().catch(() => {});
  }

  #answered(message) {
    if (message === null) return this.#lost();
    this.#answers.get(message.properties.correlationId)?.resolve(message.content.toString());
  }

  #lost() {
    for (const { reject } of this.#answers.values()) reject(new Error("the connection to the broker is gone"));
    this.#answers.clear();
  }
}

function late() {
  return new Error("the broker did not answer in time");
}
