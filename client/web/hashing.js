// Has documents hashed off the main thread, one at a time.

import { startHashWorker } from "./edition.js";
import { Open } from "./open.js";

let worker = null;
/** What is under way. */
let job = null;
let count = 0;

/** Starts the worker: at once, for later there may be no network to load it from. So it is never ended, only told to stop. */
export function startHashing() {
  const broken = () => {
    worker = null;
    end()?.reject(new Open("worker"));
  };
  try {
    worker = startHashWorker();
  } catch {
    return; // whoever wants a digest is told so
  }
  worker.onerror = broken;
  worker.onmessage = ({ data }) => {
    if (data.id !== job?.id) return; // of what nobody waits for
    if (data.digest) end().resolve(data.digest);
    else if (data.failed) end().reject(new Open("unreadable"));
    else job.progress(data.done);
  };
}

function end() {
  const ended = job;
  job = null;
  return ended;
}

/** Stops what is under way: nobody waits for it any more, and what it was to give is never given. */
export function stopHashing() {
  if (!job) return;
  job = null;
  count += 1;
  worker?.postMessage({ id: count });
}

/** SHA-256 of a file; `progress` is told which part of it was read. Stops what was under way before. */
export function digestOf(file, progress) {
  stopHashing();
  return new Promise((resolve, reject) => {
    if (!worker) {
      reject(new Open("worker"));
      return;
    }
    count += 1;
    job = { id: count, resolve, reject, progress };
    worker.postMessage({ id: count, file });
  });
}
