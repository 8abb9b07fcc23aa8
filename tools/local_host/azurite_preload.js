// Preloaded into Azurite. The socket named by PARENT_SOCKET leads to the process that started it:
// it carries one line of JSON for each blob created, as Event Grid would tell, and its end means that the
// process is gone, however that happened, so that the emulator writes its files and ends too.
"use strict";
const http = require("http");
const net = require("net");

const parent = new net.Socket({ fd: Number(process.env.PARENT_SOCKET), readable: true, writable: true });
const stop = () => process.kill(process.pid, "SIGTERM");
parent.on("end", stop).on("error", stop).resume().unref();
process.on("SIGTERM", () => parent.destroy()); // lines that nobody reads would keep the process alive

const CREATING = new Set([null, "blocklist"]); // Put Blob and Copy Blob; Put Block List

function tell(request, response) {
  if (response.statusCode !== 201 && response.statusCode !== 202) return;
  const url = new URL(request.url, "http://azurite");
  const [, , container, ...name] = url.pathname.split("/");
  if (name.length === 0 || !CREATING.has(url.searchParams.get("comp"))) return;
  const created = { container, name: decodeURIComponent(name.join("/")), etag: response.getHeader("etag") };
  parent.write(JSON.stringify(created) + "\n");
}

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  if (event === "request" && request.method === "PUT") response.on("finish", () => tell(request, response));
  return emit.apply(this, arguments);
};
