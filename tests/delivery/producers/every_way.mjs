// Sends one event, given as JSON, in every way that a program in Node.js has.
import celery from "celery-node";
import { createClient } from "redis";

const broker = process.env.CELERY_BROKER_URL;
const event = JSON.parse(process.argv[2]);
const { event_id, mandate_id, user_id, price_chf, occurred_at, ...others } = event;
const cloudEvent = {
  specversion: "1.0",
  type: "usage",
  source: "/node",
  id: event_id,
  time: occurred_at,
  data: { mandateId: mandate_id, userId: user_id, priceCHF: Number(price_chf), ...others },
};

for (const protocol of [1, 2]) {
  const client = celery.createClient(broker, broker, "usage");
  client.conf.TASK_PROTOCOL = protocol;
  await client.isReady();
  client.createTask("usage.record").applyAsync([event]);
  client.createTask("usage.record").applyAsync([], { event: cloudEvent });
  client.createTask("usage.record_batch").applyAsync([], { events: [event, cloudEvent] });
  await client.isReady();
  await client.disconnect();
}

const client = createClient({ url: broker });
client.on("error", console.error);
await client.connect();
await client.lPush("usage.json", [event, cloudEvent, [event, cloudEvent]].map((entry) => JSON.stringify(entry)));
await client.close();
