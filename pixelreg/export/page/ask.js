// The page's end of a Worker: `ask(call, value)` gives a promise of what the engine answers, and
// `ask.stop` ends the Worker; it is null where there is none.

// A Worker from the engine's own source, or where there can be none, the engine on this thread.
function startEngine(source) {
  const waiting = new Map();
  let count = 0;
  const settle = ({ data: { id, value, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(value); else reject(new Error(error));
  };
  const port = workerPort(source, settle) ?? threadPort(settle);
  const ask = (call, value, transfer = []) => new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    port.postMessage({ id: count, call, value }, transfer);
  });
  ask.stop = port instanceof Worker ? () => port.terminate() : null;
  return ask;
}

function workerPort(source, settle) {
  try {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(address);
    worker.onmessage = settle;
    return worker;
  } catch {
    return null; // as where pages from files may start none
  }
}

function threadPort(settle) {
  const scope = { postMessage: (message) => settle({ data: message }) };
  pixelreg.answerMessages(scope);
  return { postMessage: (message) => setTimeout(() => scope.onmessage({ data: message })) };
}

// A function that runs `work` again once it is done, if it was called meanwhile: the newest wins.
// The document says in `data-busy` how many such are at work.
function newestOnly(work) {
  const { dataset } = document.documentElement;
  let busy = null;
  let again = false;
  const count = (by) => { dataset.busy = Number(dataset.busy ?? 0) + by; };
  const run = async () => {
    count(1);
    do {
      again = false;
      await work();
    } while (again);
    busy = null;
    count(-1);
  };
  return () => {
    again = busy !== null;
    busy = busy ?? run();
    return busy;
  };
}
