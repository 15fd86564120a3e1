// A PLC that is an OPC UA client, on node-opcua.
//
//     node opcua_client.js PORT
//
// node-opcua makes itself a key and a certificate below HOME or XDG_CONFIG_HOME, encrypted or not.
"use strict";
const { AttributeIds, DataType, OPCUAClient, StatusCodes } = require("node-opcua-client");
const { serve } = require("./orders.js");

const NAMESPACE = "urn:tfa-inspect";
const TYPES = { u16: DataType.UInt16, u32: DataType.UInt32, f32: DataType.Float };

async function main(port) {
  const client = OPCUAClient.create({
    endpointMustExist: false, // a box is often reached by another address than the one it names
    connectionStrategy: { maxRetry: 1, initialDelay: 100, maxDelay: 200 },
  });
  await client.connect(`opc.tcp://127.0.0.1:${port}/`);
  const session = await client.createSession();
  const index = (await session.readNamespaceArray()).indexOf(NAMESPACE);
  const at = ({ where }) => ({ nodeId: `ns=${index};s=${where}`, attributeId: AttributeIds.Value });

  function check(status, { where }) {
    if (!status.equals(StatusCodes.Good)) throw new Error(`${where}: ${status.name}`);
  }

  async function read(places) {
    const values = await session.read(places.map(at));
    return values.map(({ statusCode, value }, i) => {
      check(statusCode, places[i]);
      if (value.dataType !== TYPES[places[i].type]) {
        throw new Error(`${places[i].where} is a ${DataType[value.dataType]}, not a ${places[i].type}`);
      }
      return value.value;
    });
  }

  async function write(places) {
    const values = places.map((place) => ({
      ...at(place),
      value: { value: { dataType: TYPES[place.type], value: place.value } },
    }));
    (await session.write(values)).forEach((status, i) => check(status, places[i]));
  }

  await serve(read, write);
  await session.close();
  await client.disconnect();
}

main(process.argv[2]).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
