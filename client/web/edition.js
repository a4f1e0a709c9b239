// Which edition of the page this is. This one is a node's, and asks the node that served it. `markstein page` makes a single
// file of the page and puts another module in this one's place (client/src/page).

/** The trust root in base64; `null` where the node is asked for it. */
export const GENESIS = null;

/** What stands before the path in the address of a call; `null` where no node is asked for anything. */
export const NODE = "";

/** Starts what hashes documents off the main thread. */
export function startHashWorker() {
  return new Worker(new URL("./hash-worker.js", import.meta.url), { type: "module" });
}
