import { uuidv7 } from "./events.js";

export const USAGE = "usage";
export const CHECKS = "checks";
const QUESTION_SECONDS = 60; // after that nobody works on a question any more; compared with the worker's clock, so well above their difference

/** The Celery message that records these events, each given as its JSON. */
export function batchOf(jsons) {
  const body = `[[],{"events":[${jsons.join(",")}]},{}]`;
  return { id: uuidv7(), queue: USAGE, headers: { task: "usage.record_batch" }, body };
}

/** The Celery message that asks this. */
export function questionOf(task, fields, replyTo) {
  const expires = new Date(Date.now() + QUESTION_SECONDS * 1000).toISOString();
  return { id: uuidv7(), queue: CHECKS, headers: { task, expires }, body: JSON.stringify([[], fields, {}]), replyTo };
}
