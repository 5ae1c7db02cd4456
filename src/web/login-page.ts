const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as it may stand in an element or a quoted attribute (WHATWG HTML 13.3). */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** The login page: a form that works without a script; with it, it leads on to the very series of a link. */
export function loginPage(about: {
  next: string;
  password: boolean;
  issuer: boolean;
  problem?: string;
}): string {
  const next = escapeHtml(about.next);
  const form = `
      <form method="post" action="/login">
        <input type="hidden" name="next" value="${next}" />
        <label for="name">Name</label>
        <input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus />
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required />
        <button type="submit">Log in</button>
      </form>`;
  const issuer = `
      <p><a class="button" href="/login/start?next=${encodeURIComponent(about.next)}">Log in with the hospital's account</a></p>`;
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>Log in – MC-Net</title>
    <link rel="icon" href="/icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/login.css" />
    <script src="/login.js" defer></script>
  </head>
  <body>
    <main>
      <h1>MC-Net</h1>${about.problem ? `\n      <p role="alert">${escapeHtml(about.problem)}</p>` : ''}${about.issuer ? issuer : ''}${about.password ? form : ''}
    </main>
  </body>
</html>
`;
}
