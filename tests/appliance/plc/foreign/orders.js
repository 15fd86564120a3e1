// Takes a peer's orders from its input, one after the other, and answers each with a line; see __init__.py.
"use strict";
const readline = require("node:readline");

console.log = console.error; // libraries chat there; answers stand alone

function placeOf(word) {
  const [, type, where, value] = word.match(/^(u16|u32|f32)@([^=]+)(?:=(.+))?$/);
  return { type, where, value: Number(value) };
}

/** `read` and `write` take places; both may be promises, and throw what was refused. Returns when the input has ended. */
exports.serve = async function (read, write) {
  process.stdout.write("ready\n");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...words] = line.split(" ");
    let answer = "ok";
    try {
      const places = words.map(placeOf);
      if (verb === "read") answer = (await read(places)).join(" ");
      else await write(places);
    } catch (error) {
      answer = `refused ${error.message.replaceAll("\n", " ")}`;
    }
    process.stdout.write(`${answer}\n`);
  }
};
