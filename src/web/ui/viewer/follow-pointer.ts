/** Calls back for every movement of the pointer until its button is let go. */
export function followPointer(move: (event: PointerEvent) => void): void {
  const done = () => {
    removeEventListener('pointermove', move);
    removeEventListener('pointerup', done);
    removeEventListener('pointercancel', done);
  };
  addEventListener('pointermove', move);
  addEventListener('pointerup', done);
  addEventListener('pointercancel', done);
}
