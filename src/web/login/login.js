// The server is not told what stands behind the #: a link to a series leads there only if the form remembers it.
if (location.hash !== '') {
  for (const field of document.querySelectorAll('input[name=next]')) {
    if (!field.value.includes('#')) field.value += location.hash;
  }
  for (const link of document.querySelectorAll('a[href^="/login/start"]')) {
    if (!link.href.includes('%23')) link.href += encodeURIComponent(location.hash);
  }
}
