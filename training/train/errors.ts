/** Why training cannot start or go on, in a sentence that names the file and says what to do. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
