export { Client } from "./client.js";
export { fromAnthropic, fromGemini, fromOpenai } from "./dialects.js";
export { ContractError, NoAnswer, NotDelivered, Refused, TollbookError } from "./errors.js";
export { newEvent, uuidv7 } from "./events.js";
export { checkedJson } from "./contract.js";
