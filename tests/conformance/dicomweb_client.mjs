// Calls methods of the npm package dicomweb-client, nothing of which is changed:
// `node dicomweb_client.mjs FOLDER URL` reads a call a line from standard input and prints its outcome as a line.
// A call is {"method": NAME, "options": {…}}, an outcome {"value": …} or {"status": N}; bytes are {"base64": "…"}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, url] = process.argv.slice(2);
const load = createRequire(folder + "/");
globalThis.XMLHttpRequest = load("xhr2"); // the one of browsers, which Node.js lacks
console.debug = console.error; // the client writes there; standard output is for outcomes
const client = new (load("dicomweb-client").api.DICOMwebClient)({ url, verbose: false });

const given = (_, value) =>
    value?.base64 === undefined ? value : new Uint8Array(Buffer.from(value.base64, "base64")).buffer;
const taken = (_, value) =>
    value instanceof ArrayBuffer ? { base64: Buffer.from(value).toString("base64") } : value;

for await (const line of createInterface({ input: process.stdin })) {
    const { method, options } = JSON.parse(line, given);
    let outcome;
    try {
        outcome = { value: await client[method](options) };
    } catch (error) {
        outcome = { status: error.status ?? null, message: String(error) };
    }
    console.log(JSON.stringify(outcome, taken));
}
