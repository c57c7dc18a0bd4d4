/** The operator's token: from the address once, then in this tab alone. */

const KEY = "protogate.token";

/**
 * Takes the token out of `#token=…`, and the fragment out of the address, so that it is in no history and on no screen.
 * @returns {void}
 */
export function takeFromAddress() {
  const said = /^#token=([^&]*)/.exec(location.hash);
  if (!said) return;
  history.replaceState(null, "", location.pathname);
  try {
    keep(decodeURIComponent(said[1]));
  } catch {
    // A URL that was cut in the middle of an escape: the page will ask.
  }
}

/** @returns {string} empty: there is none */
export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** @param {string} value */
export function keep(value) {
  sessionStorage.setItem(KEY, value);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}
