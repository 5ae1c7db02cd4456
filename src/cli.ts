#!/usr/bin/env node
/** `mcnet`, the command line: each command a few lines over the parts. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { EXIT, exitCodeOf } from './commands/failure.js';
import { VERSION } from './version.js';

const exitCodes = `
Exit codes: 0 all went well · 1 something failed, as the message says · 2 wrong usage or configuration`;

/** A command's parts are loaded when it runs: help and wrong usage are answered at once. */
const run =
  <Args extends unknown[]>(load: () => Promise<(...args: Args) => Promise<number>>) =>
  async (...args: Args) => {
    process.exitCode = await exitCodeOf(async () => (await load())(...args));
  };

const program = new Command('mcnet')
  .description('Corrects patient motion in brain MRI: a DICOM node, and the same correction for files.')
  .version(VERSION)
  .showHelpAfterError()
  .addHelpText('after', exitCodes)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage));

const configOption = () => new Option('-c, --config <file>', 'configuration (YAML)').env('MCNET_CONFIG');
const jsonOption = () => new Option('--json', 'one JSON object on standard output');

program
  .command('serve')
  .description('Receives, corrects and delivers until it is told to stop (SIGTERM, SIGINT).')
  .addOption(configOption())
  .addHelpText(
    'after',
    `
Examples:
  mcnet serve                               loopback only, data in ./var
  mcnet serve --config /etc/mcnet.yaml
  MCNET_HTTP__PORT=8081 mcnet serve         a key of the configuration from the environment
${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/serve.js')).serve));

program
  .command('gateway')
  .description('Receives, archives and delivers; workers that share its Redis server correct.')
  .addOption(configOption())
  .addHelpText('after', `\nExamples:\n  mcnet gateway --config /etc/mcnet.yaml\n${exitCodes}`)
  .action(run(async () => (await import('./commands/gateway.js')).gateway));

program
  .command('worker')
  .description('Corrects what gateways have put into the Redis server, until it is told to stop.')
  .addOption(configOption())
  .addHelpText('after', `\nExamples:\n  mcnet worker --config /etc/mcnet.yaml\n${exitCodes}`)
  .action(run(async () => (await import('./commands/worker.js')).worker));

program
  .command('correct')
  .description('Corrects DICOM files into a folder: the same code path as the server.')
  .argument('<paths...>', 'files and folders')
  .requiredOption('-o, --out <dir>', 'folder for the derived files: <series UID>/<SOP instance UID>.dcm')
  .option('-m, --model <name>', 'folder of the model', 'mcnet')
  .addOption(configOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    `
Examples:
  mcnet correct scan/ --out corrected/
  mcnet correct a.dcm b.dcm --out corrected/ --json | jq .corrected
${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/correct.js')).correct));

program
  .command('check-config')
  .description('Checks a configuration and the models that it names, without starting anything.')
  .argument('<file>', 'configuration (YAML)')
  .addHelpText('after', `\nExamples:\n  mcnet check-config /etc/mcnet.yaml\n${exitCodes}`)
  .action(run(async () => (await import('./commands/check-config.js')).checkConfig));

program
  .command('doctor')
  .description(
    'Engines and devices, the model and a timed inference, the disk, an echo of every destination.',
  )
  .addOption(configOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    `\nExamples:\n  mcnet doctor\n  mcnet doctor --config /etc/mcnet.yaml --json\n${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/doctor.js')).doctor));

const wholeNumber = (text: string) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError('A whole number from 1 on is expected.');
  return number;
};

const urlOption = () =>
  new Option('--url <address>', 'a running server').env('MCNET_URL').default('http://127.0.0.1:8080');
const tokenOption = () =>
  new Option('--token <token>', 'a token of the server, where it asks for one').env('MCNET_TOKEN');
program
  .command('fetch')
  .description('Has a running server fetch series from a source, an archive that its configuration names.')
  .option('-s, --source <name>', 'the source')
  .option('--study <uid>', 'Study Instance UID: all its series, or the one that --series names')
  .option('--series <uid>', 'Series Instance UID')
  .option('--accession <number>', 'Accession Number')
  .option('--patient <id>', 'Patient ID')
  .option('--date <date>', 'Study Date or a range: 20260131, 20260101-20260131')
  .option('--modality <code>', 'only series of this modality')
  .option('--description <text>', 'only series of this description; * stands for any characters')
  .option('--wait', 'until everything is fetched or failed')
  .option('--list', 'what was asked for, the latest first')
  .addOption(urlOption())
  .addOption(tokenOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    `
Examples:
  mcnet fetch --source pacs --study 1.2.840.1 --series 1.2.840.1.4 --wait
  mcnet fetch --source pacs --accession 4711 --modality MR
  mcnet fetch --list
${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/fetch.js')).fetchSeries));

const series = program.command('series').description('The series of a running server.');
series
  .command('ls')
  .description('Lists series, the latest first.')
  .addOption(
    new Option('-s, --state <state...>', 'only in these states').choices([
      'receiving',
      'complete',
      'corrected',
      'delivered',
      'left-alone',
      'failed',
    ]),
  )
  .option('-n, --limit <count>', 'at most so many', wholeNumber, 50)
  .addOption(urlOption())
  .addOption(tokenOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    `\nExamples:\n  mcnet series ls\n  mcnet series ls --state failed --json\n${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/series.js')).seriesList));
series
  .command('show')
  .description('One series: its state and why, its destinations, what failed.')
  .argument('<uid>', 'Series Instance UID')
  .addOption(urlOption())
  .addOption(tokenOption())
  .addOption(jsonOption())
  .addHelpText('after', `\nExamples:\n  mcnet series show 1.2.840.113619.2.1\n${exitCodes}`)
  .action(run(async () => (await import('./commands/series.js')).seriesShow));
series
  .command('retry')
  .description('Tries again now what failed or waits in a series, or in every series that failed.')
  .argument('[uid]', 'Series Instance UID')
  .option('--all-failed', 'every series that failed')
  .addOption(urlOption())
  .addOption(tokenOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    `\nExamples:\n  mcnet series retry 1.2.840.113619.2.1\n  mcnet series retry --all-failed\n${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/series.js')).seriesRetry));

const usersOption = () =>
  new Option('--users <file>', 'users file; default: access.users of the configuration');
const user = program.command('user').description('The people who log in to the page.');
user
  .command('add')
  .description('Adds a person; the password is asked for, or read from standard input.')
  .argument('<name>', 'name to log in with')
  .addOption(
    new Option('-r, --role <role>', 'what the person may do')
      .choices(['viewer', 'technologist', 'admin'])
      .makeOptionMandatory(),
  )
  .addOption(usersOption())
  .addOption(configOption())
  .addHelpText(
    'after',
    `
Examples:
  mcnet user add maria --role technologist --config /etc/mcnet.yaml
  mcnet user add ops --role admin --users /etc/mcnet/users.json < password.txt
${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/user.js')).userAdd));
user
  .command('passwd')
  .description('Gives a person another password; ends the sessions begun with the old one.')
  .argument('<name>', 'name to log in with')
  .addOption(usersOption())
  .addOption(configOption())
  .action(run(async () => (await import('./commands/user.js')).userPasswd));
user
  .command('rm')
  .description('Removes a person; ends his or her sessions.')
  .argument('<name>', 'name to log in with')
  .addOption(usersOption())
  .addOption(configOption())
  .action(run(async () => (await import('./commands/user.js')).userRemove));
user
  .command('ls')
  .description('Lists the people who may log in.')
  .addOption(usersOption())
  .addOption(configOption())
  .addOption(jsonOption())
  .action(run(async () => (await import('./commands/user.js')).userList));

const tokensOption = () =>
  new Option('--tokens <file>', 'tokens file; default: access.tokens of the configuration');
const token = program.command('token').description('The programs that use DICOMweb and the management API.');
token
  .command('add')
  .description('Makes a token and prints it, the only time that it can be seen.')
  .argument('<name>', 'name of the program')
  .addOption(
    new Option('-r, --role <role>', 'what the program may do')
      .choices(['viewer', 'technologist', 'admin', 'reader', 'sender', 'monitor', 'worker'])
      .makeOptionMandatory(),
  )
  .option('-e, --expires <duration>', 'how long it holds, such as 365d; default: for ever')
  .addOption(tokensOption())
  .addOption(configOption())
  .addHelpText(
    'after',
    `
Examples:
  mcnet token add pacs --role sender --config /etc/mcnet.yaml       STOW-RS only
  mcnet token add prometheus --role monitor --tokens tokens.json    metrics and health only
${exitCodes}`,
  )
  .action(run(async () => (await import('./commands/token.js')).tokenAdd));
token
  .command('rm')
  .description('Removes a token; it is refused within a second.')
  .argument('<name>', 'name of the program')
  .addOption(tokensOption())
  .addOption(configOption())
  .action(run(async () => (await import('./commands/token.js')).tokenRemove));
token
  .command('ls')
  .description('Lists the tokens, without what opens doors.')
  .addOption(tokensOption())
  .addOption(configOption())
  .addOption(jsonOption())
  .action(run(async () => (await import('./commands/token.js')).tokenList));

await program.parseAsync();
