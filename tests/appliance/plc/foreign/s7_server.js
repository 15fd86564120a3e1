// A Siemens S7 with one data block: the server of Snap7's C++ library, through node-snap7.
//
//     node s7_server.js PORT DB BYTES
//
// The program in it writes through Snap7's client: the server's own way to change its memory replaces the whole block, and
// would undo what the bridge has written since it was read.
"use strict";
const { S7Client, S7Server } = require("node-snap7");
const { serve } = require("./orders.js");

const [port, db, bytes] = process.argv.slice(2).map(Number);
const REMOTE_PORT = 2; // Snap7's number of this setting, which node-snap7 has no name for
const READ = { u16: "readUInt16BE", u32: "readUInt32BE", f32: "readFloatBE" };
const WRITE = { u16: "writeUInt16BE", u32: "writeUInt32BE", f32: "writeFloatBE" };
const SIZE = { u16: 2, u32: 4, f32: 4 };

const server = new S7Server();
const program = new S7Client();

function need(done, what) {
  if (!done) throw new Error(`${what} failed`);
}

async function read(places) {
  const block = server.GetArea(server.srvAreaDB, db);
  return places.map(({ type, where }) => block[READ[type]](Number(where)));
}

async function write(places) {
  const first = Math.min(...places.map(({ where }) => Number(where)));
  const end = Math.max(...places.map(({ type, where }) => Number(where) + SIZE[type]));
  const block = server.GetArea(server.srvAreaDB, db).subarray(first, end);
  for (const { type, where, value } of places) block[WRITE[type]](value, Number(where) - first);
  need(program.DBWrite(db, first, end - first, block), "DBWrite");
}

need(server.SetParam(server.LocalPort, port), "SetParam");
need(server.RegisterArea(server.srvAreaDB, db, Buffer.alloc(bytes)), "RegisterArea");
need(server.StartTo("127.0.0.1"), "StartTo");
need(program.SetParam(REMOTE_PORT, port), "SetParam");
need(program.ConnectTo("127.0.0.1", 0, 1), "ConnectTo");
serve(read, write).then(() => {
  program.Disconnect();
  server.Stop();
  process.exit(0);
});
