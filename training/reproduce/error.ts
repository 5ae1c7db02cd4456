/** Why the reproduction cannot begin or go on: the message names the object and says what to do. */
export class ReproduceError extends Error {
  override readonly name = 'ReproduceError';
}
