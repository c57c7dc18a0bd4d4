/** The conversation in Node: the world is the first argument, what came of it is the last line. */

import WebSocket from "ws";
import { converse, type World } from "./conversation.js";

process.on("unhandledRejection", (error) => {
  console.log(`unhandled: ${String(error)}`);
  process.exit(1);
});

converse({ ...(JSON.parse(process.argv[2] ?? "{}") as World), webSocket: WebSocket }).then(
  (steps) => console.log(JSON.stringify(steps)),
  (error: unknown) => {
    console.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
