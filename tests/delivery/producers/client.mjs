// Drives the client by lines of JSON: each names a call and its arguments, and is answered by a line, whatever was thrown.
import { createInterface } from "node:readline";
import { Client, checkedJson, fromAnthropic, fromGemini, fromOpenai, newEvent } from "tollbook-client";

const told = [];
let begun;
const client = new Client({ ...JSON.parse(process.argv[2]), onError: (error) => told.push(error.name) });
const calls = {
  checkedJson: (events) => events.map((event) => attempted(() => checkedJson(event))),
  fields: ([openai, response, anthropic, gemini]) => [fromOpenai(openai), fromOpenai(response), fromAnthropic(anthropic), fromGemini(gemini)],
  newEvents: (list) => list.map(newEvent),
  recordEach: (list) => Promise.all(list.map((fields) => client.record(fields))),
  begin(list) {
    begun = Promise.all(list.map((fields) => client.record(fields)));
  },
  begun: () => begun,
  recordMany: (list) => client.recordMany(list),
  check: (question) => client.check(question),
  authoriseEach: (list) => Promise.all(list.map((question) => client.authorise(question))),
  async releaseAndRenew(question) {
    const hold = await client.authorise(question);
    return [await hold.renew(60), await hold.release()];
  },
  flush: (seconds) => client.flush(seconds),
  close: (seconds) => client.close(seconds),
  told: () => told,
};

function attempted(call) {
  try {
    return { result: call() };
  } catch (error) {
    return { error: error.name, field: error.field, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = JSON.parse(line);
  try {
    console.log(JSON.stringify({ result: await calls[name](argument) }));
  } catch ({ name: error, message, events, kind, key }) {
    console.log(JSON.stringify({ error, message, events, kind, key }));
  }
}
