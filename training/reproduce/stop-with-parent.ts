/** Preloaded into child processes: when the parent is gone, the child ends as if it had been interrupted. */
process.on('disconnect', () => {
  process.kill(process.pid, 'SIGTERM');
});
process.channel?.unref();
