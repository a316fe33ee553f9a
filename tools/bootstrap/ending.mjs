/**
 * Calls back once, when this process is asked to end: by a signal, or because the `npm run` that started it is gone.
 * npm passes a signal on to its shell only, and the shell dies of it without telling us.
 */
export function onEnd(callback) {
  let ending = false;
  let timer;
  const end = (reason) => {
    if (ending) return;
    ending = true;
    clearInterval(timer);
    callback(reason);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(signal));
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  timer = setInterval(() => process.ppid !== parent && end('SIGHUP'), 500);
  timer.unref();
}
