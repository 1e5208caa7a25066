// Reads {"asyncapi": text, "events": [...]} and writes what the judges found, as JSON.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const installed = createRequire(process.argv[2] + "/");
const { Parser } = installed("@asyncapi/parser");
const { CloudEvent } = installed("cloudevents");

async function judge({ asyncapi, events }) {
  const { document, diagnostics } = await new Parser().parse(asyncapi);
  const refused = [];
  for (const event of events) {
    try {
      new CloudEvent(event, true); // strict: validates against the schema of CloudEvents 1.0
    } catch (error) {
      refused.push(`${event.id}: ${error.message} ${JSON.stringify(error.errors ?? "")}`);
    }
  }
  return {
    channels: document ? document.channels().all().map((channel) => channel.id()) : [],
    diagnostics: diagnostics.map(({ severity, code, path, message }) => ({
      severity, code, path: path.join("/"), message,
    })),
    refused,
  };
}

judge(JSON.parse(readFileSync(0, "utf8"))).then((found) => console.log(JSON.stringify(found)));
