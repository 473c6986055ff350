import { setTimeout as sleep } from "node:timers/promises";

/** What `promise` comes to, unless so many seconds pass before; then `onTimeout()` is what is thrown. */
export async function within(seconds, promise, onTimeout) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(onTimeout()), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits before the attempt after this one: 0.1 s, 0.2 s, ... 5 s, each a little other so that many callers don't come at once. */
export async function backOff(attempt, secondsMax, signal) {
  const seconds = Math.min(5, 0.1 * 2 ** Math.min(attempt, 10)) * (0.75 + Math.random() / 2);
  await sleep(Math.max(0, Math.min(seconds, secondsMax)) * 1000, undefined, { signal }).catch(() => {});
}
