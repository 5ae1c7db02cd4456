/** Puts messages together from fragments: command fragments, then the data set's, all on one presentation context (PS3.8 annex E, PS3.7 section 6.3). */
import { type CommandSet, CommandSetError, decodeCommandSet } from './command-set.js';
import { DataStream } from './data-stream.js';
import { AbortReason, PduError } from './pdu.js';

/** Command sets are a few hundred bytes; error lists and move originators stay far below this. */
const MAX_COMMAND_LENGTH = 64 * 1024;

export interface IncomingMessage {
  contextId: number;
  command: CommandSet;
  /** Arrives while the message is handled. */
  data?: DataStream;
}

/** Rejects interleaved messages, data without a command, and commands that do not decode, with PduError. */
export class MessageReceiver {
  private contextId: number | undefined;
  private commandParts: Buffer[] = [];
  private commandLength = 0;
  private data: DataStream | undefined;

  constructor(
    private readonly onMessage: (message: IncomingMessage) => void,
    private readonly onQueued: (delta: number) => void,
  ) {}

  /** True between the first fragment of a message and its last. */
  get inMessage(): boolean {
    return this.contextId !== undefined;
  }

  fragment(contextId: number, isCommand: boolean, bytes: Buffer, end: boolean): void {
    if (this.contextId !== undefined && this.contextId !== contextId) {
      throw unexpected(`a fragment of context ${contextId} inside a message of context ${this.contextId}`);
    }
    this.contextId = contextId;
    if (this.data === undefined) this.commandFragment(contextId, isCommand, bytes, end);
    else this.dataFragment(this.data, isCommand, bytes, end);
  }

  /** The association ended: whoever reads the data set gets the error. */
  fail(error: Error): void {
    this.data?.fail(error);
    this.data = undefined;
  }

  private commandFragment(contextId: number, isCommand: boolean, bytes: Buffer, end: boolean): void {
    if (!isCommand) throw unexpected('a data set fragment where a command is due');
    this.commandLength += bytes.length;
    if (this.commandLength > MAX_COMMAND_LENGTH)
      throw unexpected(`a command set over ${MAX_COMMAND_LENGTH} bytes`);
    if (bytes.length > 0) this.commandParts.push(bytes);
    if (!end) return;
    const command = decode(
      this.commandParts.length === 1 ? this.commandParts[0]! : Buffer.concat(this.commandParts),
    );
    this.commandParts = [];
    this.commandLength = 0;
    const message: IncomingMessage = { contextId, command };
    if (command.hasDataSet) {
      this.data = new DataStream(this.onQueued);
      message.data = this.data;
    } else {
      this.contextId = undefined;
    }
    this.onMessage(message);
  }

  private dataFragment(data: DataStream, isCommand: boolean, bytes: Buffer, end: boolean): void {
    if (isCommand) throw unexpected('a command fragment inside a data set');
    data.push(bytes);
    if (!end) return;
    this.data = undefined;
    this.contextId = undefined;
    data.end();
  }
}

function decode(bytes: Buffer): CommandSet {
  try {
    return decodeCommandSet(bytes);
  } catch (error) {
    if (!(error instanceof CommandSetError)) throw error;
    throw new PduError(AbortReason.invalidPduParameterValue, error.message);
  }
}

function unexpected(text: string): PduError {
  return new PduError(AbortReason.unexpectedPduParameter, text);
}
