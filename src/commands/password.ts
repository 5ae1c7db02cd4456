import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';

/** Asks on the terminal without showing what is typed. */
async function ask(question: string): Promise<string> {
  process.stderr.write(question);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: unseen, terminal: true });
  try {
    return await new Promise((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => reject(new Error('no password was typed')));
      lines.once('SIGINT', () => reject(new Error('stopped')));
    });
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

/** A new password: asked for twice on a terminal, else the first line of standard input. */
export async function newPassword(): Promise<string> {
  if (!process.stdin.isTTY) {
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk as string;
    return text.split(/\r?\n/, 1)[0]!;
  }
  const password = await ask('Password: ');
  if ((await ask('Again: ')) !== password) throw new Error('the two passwords differ');
  return password;
}
